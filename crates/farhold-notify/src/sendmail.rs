//! The mail program of the host, called like sendmail: addresses as arguments, the mail at its input.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::delivery::{DeliveryError, shown};
use crate::mail::Mail;

/// How long the program may take. It only has to put the mail into a queue. Source: our own choice.
const LIMIT: Duration = Duration::from_secs(30);
/// How much of what it says is read.
const MAX_SAID_BYTES: u64 = 4096;

/// Hands a mail to the program. If it takes too long, or the future is dropped, the program is killed.
pub(crate) async fn send(program: &Path, mail: &Mail) -> Result<(), DeliveryError> {
    let sent = timeout(LIMIT, run(program, mail)).await;
    sent.unwrap_or(Err(DeliveryError::TimedOut { seconds: LIMIT.as_secs() }))
}

async fn run(program: &Path, mail: &Mail) -> Result<(), DeliveryError> {
    let failed = |source| DeliveryError::Program { program: program.display().to_string(), source };
    let mut child = Command::new(program)
        // A line with a single dot is part of the mail; what follows the two dashes are addresses.
        .args(["-i", "-f", &mail.from.written, "--"])
        .args(mail.to.iter().map(|person| &person.written))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let mut input = child.stdin.take().expect("it was asked for");
    let mut errors = child.stderr.take().expect("it was asked for");
    // Programs of the host expect the host's ends of lines.
    let lines = mail.bytes.iter().copied().filter(|byte| *byte != b'\r');
    let text: Vec<u8> = lines.chain([b'\n']).collect();
    let write = async {
        // A program may end without reading everything; its exit code then says whether that was well.
        let _ = input.write_all(&text).await;
        let _ = input.shutdown().await;
        drop(input);
    };
    let read = async {
        let mut said = Vec::new();
        let _ = (&mut errors).take(MAX_SAID_BYTES).read_to_end(&mut said).await;
        // The rest is read too, lest the program waits for us.
        let _ = tokio::io::copy(&mut errors, &mut tokio::io::sink()).await;
        said
    };
    // What the program has started in the background may keep its outputs open: once it has ended, nobody waits for them.
    let mut said = Vec::new();
    let status = {
        let talk = async { tokio::join!(write, read).1 };
        tokio::pin!(talk);
        tokio::select! {
            all = &mut talk => { said = all; child.wait().await }
            status = child.wait() => {
                if let Ok(all) = timeout(Duration::from_millis(200), talk).await {
                    said = all;
                }
                status
            }
        }
        .map_err(failed)?
    };
    if status.success() {
        return Ok(());
    }
    let text = shown(&String::from_utf8_lossy(&said));
    Err(DeliveryError::ProgramFailed { status: status.code().unwrap_or(-1), text })
}
