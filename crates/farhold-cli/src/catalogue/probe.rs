//! `remote probe`: what can be said about a remote in one go. Our own.

use std::fmt::Write as _;

use http::Method;
use serde_json::Value;

use farhold_api::schema::{Param, named};

use crate::command::{Command, Output};
use crate::render::printable;

/// Width of the column of steps: the longest of them.
const STEP_WIDTH: usize = 11;

const PASSWORD_FILE: Param =
    Param::optional("password-file", named::ANY_TEXT, "File with the password or token secret, instead of --password");

pub(super) fn command() -> Command {
    Command::call(
        &["remote", "probe"],
        Method::POST,
        "/farhold/remotes/probe",
        "Look at a remote in one go: certificate, login, clock, datastores, namespaces and rights there",
    )
    .positional(&["remote"])
    .extra(named::REMOTE_ID.described("Configured remote; none to describe one with the options"))
    .extra(PASSWORD_FILE)
    .files(&[("password-file", "password")])
    .output(Output::Report { render: report_text, is_good: |report| report["usable"] == true })
    .extension()
}

/// Returns one line for each step, and a last one that says what it all means.
fn report_text(report: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    let mut lines = format!("{} as {}\n\n", text(&report["peer"]), text(&report["auth-id"]));
    for finding in report["steps"].as_array().into_iter().flatten() {
        let state = match finding["state"].as_str() {
            Some("ok") => "ok",
            Some("warning") => "WARNING",
            Some("failed") => "FAILED",
            _ => "-",
        };
        let step = text(&finding["step"]);
        let _ = writeln!(lines, "{state:<7}  {step:<STEP_WIDTH$}  {}", text(&finding["text"]));
        if let Some(hint) = finding["hint"].as_str() {
            let _ = writeln!(lines, "{:<7}  {:<STEP_WIDTH$}  hint: {}", "", "", printable(hint));
        }
    }
    if let Some(fingerprint) = report["certificate"]["fingerprint"].as_str() {
        let _ = writeln!(lines, "\nFingerprint (sha256): {fingerprint}");
    }
    let is_usable = report["usable"] == true;
    lines.push_str(if is_usable { "\nThe remote can be used.\n" } else { "\nThe remote cannot be used as it is.\n" });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_shows_every_step_and_no_control_characters_of_the_remote() {
        let report = json!({
            "peer": "pbs2.example:8007",
            "auth-id": "sync@pbs!token",
            "usable": false,
            "steps": [
                { "step": "connection", "state": "ok", "text": "reached with TLS 1.3" },
                { "step": "certificate", "state": "failed", "text": "is not trusted: \u{1b}[31mX", "hint": "pin it" },
                { "step": "login", "state": "skipped", "text": "an earlier step failed" },
            ],
            "certificate": { "fingerprint": "aa:bb", "is-trusted": false, "names": [] },
            "datastores": [], "namespaces": [], "privileges": [],
        });
        assert_eq!(
            report_text(&report),
            "pbs2.example:8007 as sync@pbs!token\n\n\
             ok       connection   reached with TLS 1.3\n\
             FAILED   certificate  is not trusted: [31mX\n\
             \x20                     hint: pin it\n\
             -        login        an earlier step failed\n\n\
             Fingerprint (sha256): aa:bb\n\n\
             The remote cannot be used as it is.\n"
        );
    }
}
