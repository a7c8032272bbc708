use std::fs;
use std::io::Write as _;

use super::*;

fn event(name: &str, at_ms: i64, data: &str) -> String {
    let (seconds, microseconds) = (at_ms / 1000, at_ms % 1000 * 1000);
    format!(
        "{{\"timestamp\": {{\"seconds\": {seconds}, \"microseconds\": {microseconds}}}, \"event\": \"{name}\"{data}}}\r\n"
    )
}

fn reset(at_ms: i64, guest: bool) -> String {
    let reason = if guest { "guest-reset" } else { "host-qmp-system-reset" };
    event("RESET", at_ms, &format!(", \"data\": {{\"guest\": {guest}, \"reason\": \"{reason}\"}}"))
}

fn shutdown(reason: &str) -> String {
    event("SHUTDOWN", 0, &format!(", \"data\": {{\"guest\": true, \"reason\": \"{reason}\"}}"))
}

#[test]
fn resets_are_reboots_of_the_guest() {
    let check = |resets: &[(i64, bool)], expected: u64| {
        let mut reboots = Reboots::default();
        let text: String = resets.iter().map(|(at_ms, guest)| reset(*at_ms, *guest)).collect();
        reboots.count_all(text.as_bytes());
        assert_eq!(reboots.count, expected, "{resets:?}");
    };
    check(&[], 0);
    check(&[(1000, true)], 1);
    // A microvm in a loop of resets, as measured.
    check(&[(1000, true), (1252, true), (1505, true)], 3);
    // A q35 whose firmware resets once more, once with the controller of the keyboard, once without.
    check(&[(28_244, true), (28_272, true), (28_273, true), (29_359, true), (29_387, true)], 2);
    // Reset by the host: the firmware's own does not make it a reboot of the guest.
    check(&[(15_357, false), (15_384, true)], 0);
    check(&[(1000, false), (5000, true)], 1);
}

#[test]
fn events_are_read_on_from_where_they_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.out");
    let mut file = File::create(&path).unwrap();
    let mut reboots = Reboots::default();
    let mut append = |text: &str| file.write_all(text.as_bytes()).unwrap();
    append("{\"return\": {}}\r\n");
    let whole = reset(1000, true);
    let (half, rest) = whole.split_at(20);
    append(half);
    assert!(!reboots.read_on(&path).unwrap());
    assert_eq!(reboots.count, 0);
    append(rest);
    append(&event("POWERDOWN", 2000, ""));
    reboots.read_on(&path).unwrap();
    reboots.read_on(&path).unwrap();
    assert_eq!(reboots.count, 1);
    // The file is cut, and QEMU writes on at its old offset.
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    reboots.read_on(&path).unwrap();
    append(&reset(3000, true));
    reboots.read_on(&path).unwrap();
    assert_eq!(reboots.count, 2);
    assert!(reboots.read_on(&directory.path().join("missing")).is_err());
}

#[test]
fn a_line_without_end_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.out");
    let endless = "x".repeat(usize::try_from(READ_BYTES_MAX).unwrap());
    fs::write(&path, format!("{endless}\n{}", reset(1000, true))).unwrap();
    let mut reboots = Reboots::default();
    assert!(reboots.read_on(&path).unwrap());
    assert!(!reboots.read_on(&path).unwrap());
    assert_eq!(reboots.count, 1);
}

#[test]
fn the_best_explanation_of_an_end_is_told() {
    let exited = |code, signal| Some(spawn::Exit { code, signal });
    let check = |written: &str, process, log: &str, expected: &str| {
        let exit = explain(written.as_bytes(), process, log);
        let told = match &exit {
            Exit::Died(why) => why.as_str(),
            Exit::GuestPoweredOff => "powered off",
            Exit::HostRebooted => "rebooted",
        };
        assert_eq!(told, expected);
    };
    let hole = "\0".repeat(100);
    check(&shutdown("guest-shutdown"), exited(Some(0), None), "", "powered off");
    check(&format!("{hole}{}", shutdown("guest-shutdown")), None, "noise", "powered off");
    check(&shutdown("guest-panic"), None, "", "the guest panicked");
    check(&shutdown("host-signal"), exited(Some(0), None), "", "the hypervisor was ended by a signal");
    check(&shutdown("host-qmp-quit"), None, "", "the hypervisor was told to quit");
    check(&shutdown("snapshot-load"), None, "", "the hypervisor ended: snapshot-load");
    check("", exited(None, Some(9)), "", "killed by signal 9");
    check(&reset(0, true), exited(Some(1), None), "no kvm", "exited with status 1: no kvm");
    check("garbage\n{\n", None, "", "it ended, and nothing says why");
    check("", None, "terminating", "it ended, and nothing says why: terminating");
}
