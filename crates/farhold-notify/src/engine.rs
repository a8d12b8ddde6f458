//! Handlebars with bounds: what administrators and users write as a template costs little time, stack and memory.
//!
//! Missing values are empty texts. Templates cannot call each other or themselves, blocks nest a few levels, loops two,
//! and output has an end. Errors never repeat the template or a value, for both may be secret.

use std::io::{self, Write};

use farhold_types::format_bytes;
use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason, html_escape,
    no_escape,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

/// Largest template, in bytes. Source: our own choice, ten times what mail templates take.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 64 << 10;
/// Largest outcome, in bytes: what mail servers and web hooks take without complaint. Source: our own choice.
pub(crate) const MAX_OUTPUT_BYTES: usize = 1 << 20;
/// Deepest nesting of blocks and of subexpressions; each level takes some stack.
const MAX_DEPTH: usize = 16;
/// Deepest nesting of loops: each level multiplies the time.
const MAX_LOOPS: usize = 2;

/// What stays as it is in a URL. Source: RFC 3986, 2.3.
const URL_TEXT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Why a template makes no text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateFault {
    /// It is no Handlebars template.
    #[error("line {line}: no template")]
    Form {
        /// Line in the template, from 1; 0 if unknown.
        line: usize,
    },
    /// More than 64 KiB.
    #[error("the template is too large")]
    TooLarge,
    /// Blocks, loops or subexpressions nest too deeply.
    #[error("the template nests too deeply")]
    TooDeep,
    /// It calls another template or changes how templates work.
    #[error("the template calls another one or a decorator")]
    NotAlone,
    /// A helper is unknown, or has other parameters.
    #[error("line {line}: a helper is unknown or has other parameters")]
    Helper {
        /// Line in the template, from 1; 0 if unknown.
        line: usize,
    },
    /// The outcome is larger than 1 MiB.
    #[error("the outcome is too large")]
    Output,
}

/// What happens to values that a template puts between its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Nothing.
    None,
    /// They become text of HTML.
    Html,
}

/// What to do with an outcome that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMuch {
    /// It is an error.
    Refuse,
    /// It ends there, and says so.
    Cut,
}

/// Checks that a template could make a text, as far as that can be known without values.
pub(crate) fn check_form(source: &str) -> Result<(), TemplateFault> {
    compile(source).map(drop)
}

fn compile(source: &str) -> Result<Template, TemplateFault> {
    if MAX_TEMPLATE_BYTES < source.len() {
        return Err(TemplateFault::TooLarge);
    }
    let template = Template::compile(source).map_err(|error| TemplateFault::Form { line: line(error.pos()) })?;
    check(&template, 0, 0)?;
    Ok(template)
}

/// Returns what a template makes of `data`.
pub(crate) fn render(source: &str, data: &Value, escape: Escape, too_much: TooMuch) -> Result<String, TemplateFault> {
    let template = compile(source)?;
    let mut registry = Handlebars::new();
    registry.register_escape_fn(match escape {
        Escape::None => no_escape,
        Escape::Html => html_escape,
    });
    // It would take values into the server's log.
    registry.unregister_helper("log");
    for helper in HELPERS {
        registry.register_helper(helper.name, Box::new(helper));
    }
    registry.register_helper(Plural::NAME, Box::new(Plural));
    registry.register_template("it", template);
    let mut output = Bounded { text: Vec::new(), is_full: false };
    let rendered = registry.render_to_write("it", data, &mut output);
    let Bounded { mut text, is_full } = output;
    match rendered {
        Ok(()) => {}
        Err(_) if is_full && too_much == TooMuch::Cut => {
            // A character may have been cut in two.
            let whole = std::str::from_utf8(&text).map_or_else(|error| error.valid_up_to(), str::len);
            text.truncate(whole);
            text.extend_from_slice(b"\n[cut here, for it is too long]\n");
        }
        Err(_) if is_full => return Err(TemplateFault::Output),
        Err(error) => return Err(TemplateFault::Helper { line: error.line_no.unwrap_or(0) }),
    }
    String::from_utf8(text).map_err(|_| TemplateFault::Output)
}

fn line(position: Option<(usize, usize)>) -> usize {
    position.map_or(0, |(line, _)| line)
}

/// Checks what the rendering of a template may cost. `depth`: blocks around it; `loops`: those that repeat it.
fn check(template: &Template, depth: usize, loops: usize) -> Result<(), TemplateFault> {
    if MAX_DEPTH < depth || MAX_LOOPS < loops {
        return Err(TemplateFault::TooDeep);
    }
    for element in &template.elements {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => check_call(helper, 0)?,
            TemplateElement::HelperBlock(helper) => {
                check_call(helper, 0)?;
                let repeats = usize::from(helper.name.as_name() == Some("each"));
                for inner in [&helper.template, &helper.inverse].into_iter().flatten() {
                    check(inner, depth + 1, loops + repeats)?;
                }
            }
            _ => return Err(TemplateFault::NotAlone),
        }
    }
    Ok(())
}

/// Checks a call of a helper. `depth`: calls around it, whose parameter it is.
fn check_call(helper: &HelperTemplate, depth: usize) -> Result<(), TemplateFault> {
    std::iter::once(&helper.name)
        .chain(&helper.params)
        .chain(helper.hash.values())
        .try_for_each(|parameter| check_parameter(parameter, depth))
}

fn check_parameter(parameter: &Parameter, depth: usize) -> Result<(), TemplateFault> {
    if MAX_DEPTH < depth {
        return Err(TemplateFault::TooDeep);
    }
    let Parameter::Subexpression(expression) = parameter else { return Ok(()) };
    let TemplateElement::Expression(helper) = expression.as_element() else { return Ok(()) };
    check_call(helper, depth + 1)
}

/// Takes output until it is full.
struct Bounded {
    text: Vec<u8>,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_OUTPUT_BYTES - self.text.len();
        if room < bytes.len() {
            self.text.extend_from_slice(&bytes[..room]);
            self.is_full = true;
            return Err(io::Error::other("full"));
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A helper that makes a text of one value.
struct HelperOfOne {
    name: &'static str,
    words_of: fn(&Value) -> String,
}

impl HelperDef for HelperOfOne {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex(self.name, 0))?;
        Ok(out.write(&(self.words_of)(value.value()))?)
    }
}

/// Our own helpers.
const HELPERS: [HelperOfOne; 4] = [
    HelperOfOne { name: "url-encode", words_of: url_encode },
    HelperOfOne { name: "escape", words_of: escape_text },
    HelperOfOne { name: "json", words_of: Value::to_string },
    HelperOfOne { name: "human-bytes", words_of: human_bytes },
];

/// `{{plural value "chunk" "chunks"}}`: a number and what it counts.
struct Plural;

impl Plural {
    const NAME: &str = "plural";
}

impl HelperDef for Plural {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let part = |at| helper.param(at).ok_or(RenderErrorReason::ParamNotFoundForIndex(Self::NAME, at));
        let number = part(0)?.value();
        let word = if number.as_u64() == Some(1) { part(1)? } else { part(2)? };
        Ok(out.write(&format!("{} {}", text(number), text(word.value())))?)
    }
}

/// Returns a value as an expression shows it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `{{url-encode value}}`: the value as a part of a URL.
fn url_encode(value: &Value) -> String {
    utf8_percent_encode(&text(value), &URL_TEXT).to_string()
}

/// `{{escape value}}`: the value as the inside of a JSON text.
fn escape_text(value: &Value) -> String {
    let quoted = Value::from(text(value)).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// `{{human-bytes value}}`: a number of bytes as people read it.
fn human_bytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), format_bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(source: &str, data: Value) -> Result<String, TemplateFault> {
        render(source, &data, Escape::None, TooMuch::Refuse)
    }

    #[test]
    fn helpers_make_values_fit_where_they_stand() {
        let data = json!({"a": "x y/ü\"\n", "n": 2_097_152, "m": {"k": [1, null]}, "job-id": "j1"});
        for (source, expected) in [
            ("{{url-encode a}}", "x%20y%2F%C3%BC%22%0A"),
            ("\"{{escape a}}\"", r#""x y/ü\"\n""#),
            ("{{json a}}", r#""x y/ü\"\n""#),
            ("{{json m}}", r#"{"k":[1,null]}"#),
            ("{{{json m}}}", r#"{"k":[1,null]}"#),
            ("{{plural 1 \"day\" \"days\"}}, {{plural n \"day\" \"days\"}}", "1 day, 2097152 days"),
            ("{{human-bytes n}}, {{human-bytes a}}", "2 MiB, x y/ü\"\n"),
            ("{{job-id}} {{m.k.[0]}} {{nothing}}.", "j1 1 ."),
            ("{{#if nothing}}yes{{else}}no{{/if}}", "no"),
            ("{{#each m}}{{@key}}={{json this}};{{/each}}", "k=[1,null];"),
            ("{{url-encode (json m)}}", "%7B%22k%22%3A%5B1%2Cnull%5D%7D"),
            ("{ \"a\": {{json a}} }", "{ \"a\": \"x y/ü\\\"\\n\" }"),
        ] {
            assert_eq!(plain(source, data.clone()).as_deref(), Ok(expected), "{source}");
        }
        let html = render("{{a}}", &json!({"a": "<b>&"}), Escape::Html, TooMuch::Refuse);
        assert_eq!(html.as_deref(), Ok("&lt;b&gt;&amp;"));
    }

    #[test]
    fn templates_that_would_cost_too_much_are_refused() {
        let deep = |open: &str, close: &str, times| format!("{}x{}", open.repeat(times), close.repeat(times));
        let (open, close) = ("{{#if a}}", "{{/if}}");
        assert!(plain(&deep(open, close, MAX_DEPTH), json!({"a": 1})).is_ok());
        for times in [MAX_DEPTH + 1, 3_000] {
            assert!(plain(&deep(open, close, times), json!({"a": 1})).is_err(), "{times}");
        }
        for times in [MAX_DEPTH + 2, 5_000] {
            assert!(plain(&format!("{{{{json {}}}}}", deep("(json ", ")", times)), json!({"x": 1})).is_err());
            // Literals are data of the template itself, so the parser's own bound is enough.
            let _ = plain(&format!("{{{{json {}}}}}", deep("[", "]", times)), json!({}));
        }
        let (open, close) = ("{{#each a}}", "{{/each}}");
        assert!(plain(&deep(open, close, 2), json!({"a": [1]})).is_ok());
        assert_eq!(plain(&deep(open, close, 3), json!({"a": [1]})), Err(TemplateFault::TooDeep));
        for calling in ["{{> it}}", "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}", "{{#> it}}{{/it}}", "{{* deco}}"] {
            assert_eq!(plain(calling, json!({})), Err(TemplateFault::NotAlone), "{calling}");
        }
        assert_eq!(plain(&"x".repeat(MAX_TEMPLATE_BYTES + 1), json!({})), Err(TemplateFault::TooLarge));
    }

    #[test]
    fn output_has_an_end() {
        let data = json!({"a": vec![0; 1000], "t": "ü".repeat(5000)});
        let source = "{{#each a}}{{../t}}{{/each}}";
        assert_eq!(plain(source, data.clone()), Err(TemplateFault::Output));
        let cut = render(source, &data, Escape::None, TooMuch::Cut).unwrap();
        assert!(cut.len() < MAX_OUTPUT_BYTES + 100 && cut.ends_with("too long]\n"));
    }

    #[test]
    fn errors_do_not_repeat_the_template() {
        for source in ["{{hunter2", "{{#if hunter2}}", "{{hunter2 1}}", "{{json}}", "{{log \"hunter2\"}}"] {
            let error = plain(source, json!({"a": "hunter2"})).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
