//! The bytes of the test guest are what its source gives.

use std::path::Path;
use std::process::Command;

use nkudo_providers::guest::TINY;

#[test]
fn tiny_is_built_from_its_source() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest");
    let built = tempfile::tempdir().unwrap();
    let (object, image) = (built.path().join("tiny.o"), built.path().join("tiny.elf"));
    let assembled = Command::new("as").arg("-o").arg(&object).arg(source.join("tiny.S")).status();
    let Ok(assembled) = assembled else {
        eprintln!("SKIPPED tiny_is_built_from_its_source: binutils (as, ld) is not installed");
        return;
    };
    assert!(assembled.success());
    let linked = Command::new("ld")
        .args(["-s", "-T"])
        .arg(source.join("tiny.ld"))
        .arg("-o")
        .arg(&image)
        .arg(&object)
        .status();
    assert!(linked.unwrap().success());
    assert_eq!(std::fs::read(&image).unwrap(), TINY, "make guest/tiny.elf anew from guest/tiny.S");
}
