//! A command of the host as JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nkudo_domain::{HostCommand, PATH_MAX_BYTES};
use serde_json::{Value, json};

use super::TIMEOUT_SECONDS_MAX;
use crate::fields::{Faults, Fields};

/// How long a command may take when it does not say, in seconds.
const TIMEOUT_SECONDS_DEFAULT: u64 = 30;
/// Most arguments, and most variables of an environment.
const ITEMS_MAX: usize = 1_000;
/// Most bytes of all arguments and variables together: they are kept with the action for a week.
const TEXTS_MAX_BYTES: usize = 32 << 10;

pub(super) fn parse(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<HostCommand> {
    let program = fields.text("command", faults);
    let program = fields.require("command", program, faults).map(PathBuf::from);
    let args = args(fields, faults);
    let timeout = fields.number("timeout", 1, TIMEOUT_SECONDS_MAX, faults).unwrap_or(TIMEOUT_SECONDS_DEFAULT);
    let dir = PathBuf::from(fields.text("dir", faults).unwrap_or("/"));
    let env = env(fields, faults);
    check_path("command", program.as_deref(), fields, faults);
    check_path("dir", Some(&dir), fields, faults);
    let bytes: usize = args.iter().chain(env.keys()).chain(env.values()).map(|text| text.len() + 1).sum();
    if bytes > TEXTS_MAX_BYTES {
        let what = format!(
            "has {bytes} bytes together with env; at most {TEXTS_MAX_BYTES} are taken: give a file instead"
        );
        faults.add(fields.path_of("args"), what);
    }
    Some(HostCommand { program: program?, args, timeout: Duration::from_secs(timeout), dir, env })
}

fn check_path(name: &str, path: Option<&Path>, fields: &Fields<'_>, faults: &mut Faults) {
    let Some(path) = path else { return };
    if !path.is_absolute() {
        faults.add(fields.path_of(name), "is to be an absolute path; no shell and no PATH is asked");
    } else if path.as_os_str().as_encoded_bytes().contains(&0) {
        faults.add(fields.path_of(name), "must not contain a NUL");
    } else if path.as_os_str().len() > PATH_MAX_BYTES {
        faults.add(
            fields.path_of(name),
            format!("is longer than a path can be, which is {PATH_MAX_BYTES} bytes"),
        );
    }
}

fn args(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<String> {
    let path = fields.path_of("args");
    let list = fields.list("args", faults).map(Vec::as_slice).unwrap_or_default();
    if list.len() > ITEMS_MAX {
        faults.add(path.clone(), format!("has {} items; at most {ITEMS_MAX} are taken", list.len()));
    }
    let mut args = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let at = format!("{path}[{index}]");
        match value.as_str() {
            Some(text) => {
                check_text(&at, text, faults);
                args.push(text.to_owned());
            }
            None => faults.add(at, "is to be a string"),
        }
    }
    args
}

fn env(fields: &mut Fields<'_>, faults: &mut Faults) -> BTreeMap<String, String> {
    let path = fields.path_of("env");
    let env = fields.text_map("env", faults);
    if env.len() > ITEMS_MAX {
        faults.add(path.clone(), format!("has {} variables; at most {ITEMS_MAX} are taken", env.len()));
    }
    for (name, value) in &env {
        if name.is_empty() || name.contains(['=', '\0']) {
            faults.add(path.clone(), format!("`{}` is no name of a variable", name.escape_debug()));
        }
        if loads_code(name) {
            let what =
                "decides which code a program runs, and would make the allow-list of the host mean nothing";
            faults.add(format!("{path}.{name}"), what);
        }
        check_text(&format!("{path}.{name}"), value, faults);
    }
    env
}

/// Whether loaders, shells or interpreters take code from a variable of this name. There may be others that do.
fn loads_code(name: &str) -> bool {
    const BEGIN: [&str; 5] = ["LD_", "BASH_FUNC_", "PYTHON", "PERL5", "RUBY"];
    const ARE: [&str; 10] = [
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PS4",
        "IFS",
        "GCONV_PATH",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "GIT_EXEC_PATH",
    ];
    BEGIN.iter().any(|begin| name.starts_with(begin)) || ARE.contains(&name)
}

fn check_text(at: &str, text: &str, faults: &mut Faults) {
    if text.contains('\0') {
        faults.add(at.to_owned(), "must not contain a NUL");
    }
}

pub(super) fn to_json(command: &HostCommand) -> Value {
    json!({
        "command": command.program, "args": command.args, "timeout": command.timeout.as_secs(), "dir": command.dir,
        "env": command.env,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{parse, tests::origin, to_json};
    use super::*;

    fn body(params: &Value) -> Value {
        json!({"action_type": "CommandExecute", "params": params})
    }

    #[test]
    fn a_command_has_its_defaults_and_survives_its_way() {
        let short = parse(&body(&json!({"command": "/usr/bin/uptime"})), "", origin()).unwrap();
        let long = json!({"command": "/usr/bin/uptime", "args": [], "timeout": 30, "dir": "/", "env": {}});
        let long = parse(&body(&long), "", origin()).unwrap();
        assert!(short.asks_the_same(&long), "{short:?}");
        assert_eq!(short.timeout, Duration::from_secs(90), "a command waits for those before it");
        let longest = parse(&body(&json!({"command": "/a", "timeout": 86_400})), "", origin()).unwrap();
        assert_eq!(
            parse(&to_json(&longest), "", origin()),
            Ok(longest),
            "nor can it be given more than that"
        );
        assert_eq!(short.request.vm_id(), None);
        let full = json!({"command": "/bin/echo", "args": ["a", "ü b"], "timeout": 3, "dir": "/tmp", "env": {"A": "1"}});
        let full = parse(&body(&full), "", origin()).unwrap();
        assert_eq!(parse(&to_json(&full), "", origin()), Ok(full));
    }

    #[test]
    fn each_fault_of_a_command_is_told_with_its_path() {
        let check = |params: Value, path: &str, detail: &str| {
            let faults = parse(&body(&params), "", origin()).expect_err(&params.to_string());
            let told = faults.iter().any(|fault| fault.path == path && fault.detail.contains(detail));
            assert!(told, "{params}\nwanted {path}: {detail}\nfound {faults:?}");
        };
        check(json!({}), "params.command", "is required");
        check(json!({"command": "uptime"}), "params.command", "absolute path");
        check(json!({"command": "/a\u{0}b"}), "params.command", "NUL");
        check(json!({"command": "/a", "dir": "tmp"}), "params.dir", "absolute path");
        check(json!({"command": "/a", "args": "-l"}), "params.args", "");
        check(json!({"command": "/a", "args": ["-l", 1]}), "params.args[1]", "string");
        check(json!({"command": "/a", "args": ["\u{0}"]}), "params.args[0]", "NUL");
        check(json!({"command": "/a", "args": vec!["x"; 1_001]}), "params.args", "at most 1000");
        check(json!({"command": "/a", "args": ["x".repeat(32 << 10)]}), "params.args", "at most 32768");
        check(json!({"command": "/a", "env": {"A": "x".repeat(32 << 10)}}), "params.args", "at most 32768");
        for name in ["LD_PRELOAD", "BASH_ENV", "ENV", "BASH_FUNC_echo%%", "PYTHONPATH", "PERL5OPT", "IFS"] {
            check(json!({"command": "/a", "env": {name: "/x"}}), &format!("params.env.{name}"), "allow-list");
        }
        let long = format!("/{}", "x".repeat(4_095));
        check(json!({"command": long}), "params.command", "4095 bytes");
        check(json!({"command": "/a", "dir": long}), "params.dir", "4095 bytes");
        check(json!({"command": "/a", "timeout": 0}), "params.timeout", "from 1 to 86400, not 0");
        check(json!({"command": "/a", "env": {"A=B": ""}}), "params.env", "no name of a variable");
        check(json!({"command": "/a", "env": {"": ""}}), "params.env", "no name of a variable");
        check(json!({"command": "/a", "env": {"A": "\u{0}"}}), "params.env.A", "NUL");
        check(json!({"command": "/a", "arg": []}), "params.arg", "did you mean `args`?");
    }
}
