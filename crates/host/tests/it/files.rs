use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use nkudo_host::{disk, fifo, file};

#[test]
fn rotation_keeps_the_end_and_the_writer_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, keep) = (directory.path().join("log"), directory.path().join("log.1"));
    let rotate = |max_bytes| file::rotate_copy_truncate(&path, &keep, max_bytes).expect("an answer");
    assert!(!rotate(0), "no file");
    let mut writer = fs::OpenOptions::new().append(true).create(true).open(&path).expect("a file");
    let mut check = |text: &str, max_bytes: u64, rotated: bool, left: &str, kept: Option<&str>| {
        writer.write_all(text.as_bytes()).expect("written");
        assert_eq!(rotate(max_bytes), rotated, "{text}");
        assert_eq!(fs::read_to_string(&path).expect("the file"), left, "{text}");
        assert_eq!(fs::read_to_string(&keep).ok().as_deref(), kept, "{text}");
    };
    check("0123", 4, false, "0123", None);
    check("4", 4, true, "", Some("1234"));
    check("new", 4, false, "new", Some("1234"));
    check("er and longer", 4, true, "", Some("nger"));
    let names = fs::read_dir(directory.path()).expect("a listing").count();
    assert_eq!(names, 2, "nothing else is left");
}

#[test]
fn a_file_that_cannot_be_kept_is_not_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("log");
    fs::write(&path, "0123456789").expect("a file");
    file::rotate_copy_truncate(&path, &directory.path().join("absent/log.1"), 4).expect_err("no directory");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "0123456789");
}

#[test]
fn what_is_written_waits_in_a_named_pipe() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("in");
    fifo::make(&path).expect("made");
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fifo::make(&path).expect_err("there already").kind(), ErrorKind::AlreadyExists);
    let mut pipe = fifo::open_rdwr_nonblocking(&path).expect("opens without another end");
    pipe.write_all(b"hello").expect("written without a reader");
    let mut heard = [0; 5];
    fs::File::open(&path).expect("a reader").read_exact(&mut heard).expect("it waits there");
    assert_eq!(&heard, b"hello");
    assert_eq!(pipe.read(&mut heard).expect_err("nothing").kind(), ErrorKind::WouldBlock);

    let plain = directory.path().join("plain");
    fs::write(&plain, "").expect("a file");
    assert_eq!(fifo::open_rdwr_nonblocking(&plain).expect_err("no pipe").kind(), ErrorKind::InvalidInput);
}

#[test]
fn space_adds_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let space = disk::space(directory.path()).expect("an answer");
    assert!(
        space.total_bytes > 0 && space.used_bytes + space.available_bytes <= space.total_bytes,
        "{space:?}"
    );
    disk::space(&directory.path().join("absent")).expect_err("no such path");
}
