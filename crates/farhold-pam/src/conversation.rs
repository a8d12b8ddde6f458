//! What modules ask and what they are told: hidden prompts get the password, open ones the user name.
//!
//! Texts that modules show are kept for the log, bounded. Copies of the password that are handed over belong to the
//! library, which wipes them; our own are wiped here.
#![expect(unsafe_code, reason = "the C library calls back and owns what it is answered")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use zeroize::Zeroize as _;

use crate::library::{BUFFER_ERROR, CONVERSATION_ERROR, Message, Response, SUCCESS};

/// Most bytes of an answer, without its end. The library's own limit is 512 with it.
pub const MAX_ANSWER_BYTES: usize = 511;
/// Most messages of one call. Source: `PAM_MAX_NUM_MSG` of the library.
const MAX_MESSAGES: usize = 32;
/// Most questions of one transaction. A change asks for a password three times; more is a module that will not end.
const MAX_QUESTIONS: usize = 16;
/// Most texts that are kept for the log.
const MAX_SAID: usize = 4;
/// Most characters of each.
const MAX_SAID_CHARS: usize = 200;

/// Kind of message: asks for a text that is not shown.
const PROMPT_HIDDEN: c_int = 1;
/// Kind of message: asks for a text that may be shown.
const PROMPT_OPEN: c_int = 2;
/// Kind of message: tells of a failure.
const SHOW_ERROR: c_int = 3;
/// Kind of message: tells something.
const SHOW_TEXT: c_int = 4;

/// What one transaction answers, and what it was told.
pub struct Script {
    name: CString,
    password: Hidden,
    questions: usize,
    said: Vec<String>,
}

/// A text that is wiped when it is dropped.
struct Hidden(Option<CString>);

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(text) = self.0.take() {
            text.into_bytes_with_nul().zeroize();
        }
    }
}

impl Script {
    /// Returns what a user answers who has this name and password.
    pub fn new(name: CString, password: CString) -> Self {
        Self { name, password: Hidden(Some(password)), questions: 0, said: Vec::new() }
    }

    /// Returns the user name.
    pub fn name(&self) -> &CStr {
        &self.name
    }

    /// Returns what modules said, and forgets it.
    pub fn take_said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }

    /// Returns the answer to one message; `Err` ends the conversation.
    fn answer(&mut self, style: c_int, text: &CStr) -> Result<Option<&CStr>, ()> {
        match style {
            PROMPT_HIDDEN | PROMPT_OPEN => {
                self.questions += 1;
                if MAX_QUESTIONS < self.questions {
                    return Err(());
                }
                let password = self.password.0.as_deref();
                Ok(if style == PROMPT_HIDDEN { password } else { Some(&self.name) })
            }
            SHOW_ERROR | SHOW_TEXT => {
                if self.said.len() < MAX_SAID {
                    let line: String = text.to_string_lossy().trim().chars().take(MAX_SAID_CHARS).collect();
                    self.said.push(line);
                }
                Ok(None)
            }
            _ => Err(()),
        }
    }
}

/// Answers the messages of a module.
///
/// # Safety
/// The library calls it as `pam_conv(3)` says: `messages` points to `count` pointers to messages, `responses` to a place
/// for the answers, and `data` is the [`Script`] that was given to `pam_start`, which nobody else uses meanwhile.
pub unsafe extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let count = match usize::try_from(count) {
        Ok(count @ 1..=MAX_MESSAGES) => count,
        _ => return CONVERSATION_ERROR,
    };
    if messages.is_null() || responses.is_null() || data.is_null() {
        return CONVERSATION_ERROR;
    }
    // SAFETY: `data` is our script, and the library runs one conversation of a transaction at a time.
    let script = unsafe { &mut *data.cast::<Script>() };
    // SAFETY: any size is fine; the result is checked. All zero is an array of responses without text.
    let made = unsafe { libc::calloc(count, size_of::<Response>()) }.cast::<Response>();
    if made.is_null() {
        return BUFFER_ERROR;
    }
    for number in 0..count {
        // SAFETY: `number` is below `count`, so both places exist, and `made` holds `count` responses.
        let outcome = unsafe { answer_one(script, *messages.add(number), &mut *made.add(number)) };
        if outcome != SUCCESS {
            // SAFETY: `made` came from `calloc` with `count` entries, and nobody has seen it.
            unsafe { discard(made, count) };
            return outcome;
        }
    }
    // SAFETY: the library gave this place for the answer, and owns it from now on.
    unsafe { *responses = made };
    SUCCESS
}

/// # Safety
/// `message` is null or points to a message whose text is null or ends with a null byte.
unsafe fn answer_one(script: &mut Script, message: *const Message, response: &mut Response) -> c_int {
    if message.is_null() {
        return CONVERSATION_ERROR;
    }
    // SAFETY: not null, so it points to a message.
    let message = unsafe { &*message };
    // SAFETY: promised by the caller.
    let text = if message.text.is_null() { c"" } else { unsafe { CStr::from_ptr(message.text) } };
    match script.answer(message.style, text) {
        Ok(None) => SUCCESS,
        Ok(Some(answer)) => {
            // SAFETY: it ends with a null byte. The copy is allocated as the library frees it.
            response.text = unsafe { libc::strdup(answer.as_ptr()) };
            if response.text.is_null() { BUFFER_ERROR } else { SUCCESS }
        }
        Err(()) => CONVERSATION_ERROR,
    }
}

/// Wipes and frees answers.
///
/// # Safety
/// `made` came from `calloc` with `count` entries, whose texts are null or came from `strdup`.
unsafe fn discard(made: *mut Response, count: usize) {
    for number in 0..count {
        // SAFETY: `number` is below `count`.
        let text: *mut c_char = unsafe { (*made.add(number)).text };
        if !text.is_null() {
            // SAFETY: it ends with a null byte and is ours; `zeroize` writes up to there, then the memory goes back.
            unsafe {
                std::slice::from_raw_parts_mut(text.cast::<u8>(), libc::strlen(text)).zeroize();
                libc::free(text.cast());
            }
        }
    }
    // SAFETY: it came from `calloc`.
    unsafe { libc::free(made.cast()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(script: &mut Script, questions: &[(c_int, &CStr)]) -> (c_int, Vec<Option<String>>) {
        let messages: Vec<Message> =
            questions.iter().map(|(style, text)| Message { style: *style, text: text.as_ptr() }).collect();
        let mut pointers: Vec<*const Message> = messages.iter().map(std::ptr::from_ref).collect();
        let mut made = std::ptr::null_mut();
        let count = c_int::try_from(pointers.len()).unwrap();
        let data = std::ptr::from_mut(script).cast();
        // SAFETY: as the library would call it.
        let code = unsafe { converse(count, pointers.as_mut_ptr(), &mut made, data) };
        if made.is_null() {
            return (code, Vec::new());
        }
        let read = |number: usize| {
            // SAFETY: one response for each message.
            let text = unsafe { (*made.add(number)).text };
            // SAFETY: answers end with a null byte.
            (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned())
        };
        let answers = (0..questions.len()).map(read).collect();
        // SAFETY: made by `converse` with this many entries.
        unsafe { discard(made, questions.len()) };
        (code, answers)
    }

    fn script() -> Script {
        Script::new(c"root".to_owned(), c"secret".to_owned())
    }

    #[test]
    fn hidden_prompts_get_the_password_and_open_ones_the_name() {
        let mut script = script();
        let asked =
            [(PROMPT_OPEN, c"login: "), (SHOW_TEXT, c"hello"), (PROMPT_HIDDEN, c"Password: "), (SHOW_ERROR, c" oh\n")];
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(ask(&mut script, &asked), (SUCCESS, vec![text("root"), None, text("secret"), None]));
        assert_eq!(script.take_said(), ["hello", "oh"]);
        assert!(script.take_said().is_empty());
    }

    #[test]
    fn what_modules_say_and_ask_is_bounded() {
        let mut talker = script();
        let long = CString::new("x".repeat(1000)).unwrap();
        assert_eq!(ask(&mut talker, &[(SHOW_TEXT, long.as_c_str()); 20]).0, SUCCESS);
        let said = talker.take_said();
        assert_eq!((said.len(), said[0].len()), (MAX_SAID, MAX_SAID_CHARS));
        let mut asker = script();
        for _ in 0..MAX_QUESTIONS {
            assert_eq!(ask(&mut asker, &[(PROMPT_HIDDEN, c"again: ")]).0, SUCCESS);
        }
        assert_eq!(ask(&mut asker, &[(SHOW_TEXT, c"still here"), (PROMPT_HIDDEN, c"again: ")]).0, CONVERSATION_ERROR);
    }

    #[test]
    fn odd_calls_are_refused() {
        for asked in [vec![], vec![(PROMPT_HIDDEN, c"x"); MAX_MESSAGES + 1], vec![(PROMPT_HIDDEN, c"x"), (7, c"x")]] {
            assert_eq!(ask(&mut script(), &asked), (CONVERSATION_ERROR, Vec::new()));
        }
        let mut made = std::ptr::null_mut();
        let mut message: *const Message = std::ptr::null();
        let data: *mut c_void = std::ptr::from_mut(&mut script()).cast();
        // SAFETY: null is what is tested; the other pointers are good.
        let codes = unsafe {
            [
                converse(1, std::ptr::null_mut(), &mut made, data),
                converse(1, &mut message, std::ptr::null_mut(), data),
                converse(1, &mut message, &mut made, std::ptr::null_mut()),
                converse(-1, &mut message, &mut made, data),
            ]
        };
        assert_eq!(codes, [CONVERSATION_ERROR; 4]);
    }
}
