//! Scripts that connect a shell's completion with this program.
//!
//! All of them ask the program itself through the word `bashcomplete`, so that what is offered follows its commands and
//! the configuration. Where it offers nothing, the shell completes file names.
//!
//! Source: `docs/spec/cli.md` 1.7 (`COMP_LINE`, `COMP_POINT`).

use crate::complete::COMPLETE_WORD;

/// Shells that there is a script for.
pub const SHELLS: &[&str] = &["bash", "fish", "zsh"];

/// Returns the script for a shell; none for a shell not in [`SHELLS`].
///
/// `program`: as it is called, perhaps with a word behind it, for example `farhold client`; the script is for the
/// program with all its words.
pub fn script(shell: &str, program: &str) -> Option<String> {
    let template = match shell {
        "bash" => BASH,
        "fish" => FISH,
        "zsh" => ZSH,
        _ => return None,
    };
    let name = program.split(' ').next().unwrap_or_default();
    // The name becomes part of the name of a function.
    let function: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let text = template.replace("@FUNCTION@", &function).replace("@PROGRAM@", name);
    Some(text.replace("@WORD@", COMPLETE_WORD))
}

/// bash splits words also at `:` and `=`, and replaces only what is behind them: so does the script.
const BASH: &str = r#"# bash completion for @PROGRAM@
# Put this into ~/.local/share/bash-completion/completions/@PROGRAM@, or: source <(@PROGRAM@ completion bash)
__@FUNCTION@_complete() {
    local before=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} typed kept candidate
    typed=${before##*[[:space:]]}
    case $word in
        : | =) word= ;;
    esac
    kept=${typed%"$word"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <(COMP_LINE=$COMP_LINE COMP_POINT=$COMP_POINT "$1" @WORD@ 2>/dev/null)
}
complete -o default -F __@FUNCTION@_complete @PROGRAM@
"#;

const FISH: &str = r#"# fish completion for @PROGRAM@
# Put this into ~/.config/fish/completions/@PROGRAM@.fish, or: @PROGRAM@ completion fish | source
function __@FUNCTION@_complete
    set -lx COMP_LINE (commandline -cp)
    set -lx COMP_POINT (string length -- "$COMP_LINE")
    @PROGRAM@ @WORD@ 2>/dev/null
end
complete -c @PROGRAM@ -f -a '(__@FUNCTION@_complete)'
complete -c @PROGRAM@ -n 'test (count (__@FUNCTION@_complete)) -eq 0' -F
"#;

const ZSH: &str = r#"#compdef @PROGRAM@
# zsh completion for @PROGRAM@
# Put this as _@PROGRAM@ into a folder of $fpath, or: source <(@PROGRAM@ completion zsh)
__@FUNCTION@_complete() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    local -a candidates
    candidates=("${(@f)$(COMP_LINE=$line COMP_POINT=${#line} $words[1] @WORD@ 2>/dev/null)}")
    candidates=(${candidates:#})
    if (( $#candidates )); then
        compadd -- $candidates
    else
        _files
    fi
}
if [[ $funcstack[1] == _@PROGRAM@ ]]; then
    __@FUNCTION@_complete "$@"
else
    compdef __@FUNCTION@_complete @PROGRAM@
fi
"#;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_shell_has_a_script_that_names_the_program_and_no_place_is_left_open() {
        for shell in SHELLS {
            let text = script(shell, "proxmox-backup-manager").expect("a script");
            assert!(!text.contains('@') || *shell == "zsh" && !text.contains("@PROGRAM@"), "{text}");
            assert!(text.contains("proxmox-backup-manager completion"), "{text}");
            assert!(text.contains("__proxmox_backup_manager_complete"), "{text}");
        }
        assert_eq!(script("tcsh", "farhold"), None);
        assert_eq!(script("bash", "farhold client"), script("bash", "farhold"));
    }

    /// A function of the program's name stands for the program, which repeats what it was asked.
    fn bash_offers(line: &str, words: &str, index: usize, candidates: &str) -> String {
        let script = script("bash", "farhold").expect("a script");
        let text = format!(
            "farhold() {{ [ \"$1 $COMP_LINE $COMP_POINT\" = \"bashcomplete {line} {}\" ] && printf '{candidates}'; }}\n\
             {script}\nCOMP_LINE='{line}' COMP_POINT={} COMP_WORDS=({words}) COMP_CWORD={index}\n\
             __farhold_complete farhold '' ''\nprintf '%s|' \"${{COMPREPLY[@]}}\"",
            line.len(),
            line.len(),
        );
        let output = Command::new("bash").args(["--norc", "-c", &text]).output().expect("bash");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    fn bash_gets_candidates_and_only_what_is_behind_a_colon() {
        if Command::new("bash").arg("--version").output().is_err() {
            println!("not run: there is no bash here");
            return;
        }
        assert_eq!(bash_offers("farhold rem", "farhold rem", 1, "remote\\n"), "remote|");
        assert_eq!(bash_offers("farhold remote sh", "farhold remote sh", 2, "show\\nshout\\n"), "show|shout|");
        // bash makes three words of `type:v`, and two of `type:`.
        assert_eq!(bash_offers("farhold x type:v", "farhold x type : v", 4, "type:vm\\n"), "vm|");
        assert_eq!(bash_offers("farhold x type:", "farhold x type :", 3, "type:ct\\ntype:vm\\n"), "ct|vm|");
        assert_eq!(bash_offers("farhold x ", "farhold x ''", 2, ""), "|");
    }
}
