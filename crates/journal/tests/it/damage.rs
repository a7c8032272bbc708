use nkudo_journal::{Discarded, Disk as _, FollowedBy, Reason, Replay, SimulatedDisk, replay_read_only};

use crate::journals::{dir, disk_of, files, open, path, payloads, several_segments, try_open};

/// Opens a damaged journal: what comes back is a beginning of `records`, the loss is told, and every byte of it is
/// kept; a view says the same; it is told again until it is on record; and then all is well.
pub(crate) fn check(damaged: &[(String, Vec<u8>)], records: &[Vec<u8>], what: &str) -> Replay {
    let disk = disk_of(damaged);
    let view = replay_read_only(&disk, dir()).expect("a view");
    assert_eq!(files(&disk), damaged, "{what}: a view changes nothing");
    let (mut journal, replay) = open(&disk);
    let given = payloads(&replay);
    assert!(records.starts_with(&given), "{what}: {given:?}");
    assert_eq!(view.records, replay.records, "{what}");
    let of_view = view.discarded.map(|told| (told.segment, told.offset, told.bytes, told.reason));
    let of_repair = replay.discarded.clone().map(|told| (told.segment, told.offset, told.bytes, told.reason));
    assert_eq!(of_view, of_repair, "{what}");

    let kept_bytes = |told: &Discarded| -> usize {
        told.kept.iter().map(|path| disk.read_at(path, 0, u64::MAX).expect("kept").len()).sum()
    };
    if let Some(told) = &replay.discarded {
        assert_eq!(told.bytes, kept_bytes(told) as u64, "{what}: {told}");
    } else {
        assert!(files(&disk).iter().all(|(name, _)| !name.contains("corrupt")), "{what}");
    }

    let (_, untold) = open(&disk.crash());
    let again = replay.discarded.clone().map(|told| Discarded { is_news: false, ..told });
    assert_eq!(untold.discarded, again, "{what}: whoever did not hear of it is told again");
    let view = replay_read_only(&disk.crash(), dir()).expect("a view");
    assert_eq!(view.discarded, again, "{what}: and a view is");
    journal.append(b"after").expect("appended");
    journal.sync().expect("durable");
    journal.loss_is_on_record().expect("noted");
    let (_, again) = open(&disk.crash());
    assert_eq!(again.discarded, None, "{what}");
    let mut expected = given;
    expected.push(b"after".to_vec());
    assert_eq!(payloads(&again), expected, "{what}");
    replay
}

#[test]
fn each_bit_flipped_in_turn() {
    let (disk, records) = several_segments();
    let whole = files(&disk);
    for segment in 0..whole.len() {
        for offset in 0..whole[segment].1.len() {
            for mask in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                let mut damaged = whole.clone();
                damaged[segment].1[offset] ^= mask;
                let what = format!("byte {offset} of {} xor {mask:#x}", whole[segment].0);
                let replay = check(&damaged, &records, &what);
                let told = replay.discarded.expect(&what);
                assert!(replay.records.len() < records.len(), "{what}");
                assert_eq!(told.segment, whole[segment].0, "{what}");
                assert!(told.offset <= offset as u64, "{what}");
                let expected = match whole.len() - 1 - segment {
                    0 if told.offset == whole_up_to_last(&whole[segment].1) => FollowedBy::Nothing,
                    0 => FollowedBy::Records,
                    _ => FollowedBy::Segments,
                };
                assert_eq!(told.followed_by, expected, "{what}");
            }
        }
    }
}

/// Where the last record of a segment begins.
fn whole_up_to_last(segment: &[u8]) -> u64 {
    let (mut at, mut last) = (24, 24);
    while at < segment.len() {
        let payload = u32::from_le_bytes(segment[at..at + 4].try_into().expect("four bytes"));
        last = at;
        at += 16 + payload as usize;
    }
    last as u64
}

#[test]
fn cut_at_every_byte() {
    let (disk, records) = several_segments();
    let whole = files(&disk);
    for segment in 0..whole.len() {
        let last = segment + 1 == whole.len();
        for length in 0..whole[segment].1.len() {
            let mut damaged = whole.clone();
            damaged[segment].1.truncate(length);
            let what = format!("{} cut to {length} bytes", whole[segment].0);
            let replay = check(&damaged, &records, &what);
            assert!(replay.records.len() < records.len() || (last && length <= 24), "{what}");
            // Between two records at the very end nobody can see that there was more.
            if replay.discarded.is_none() {
                assert!(last, "{what}");
            }
        }
    }
}

#[test]
fn a_missing_segment_is_a_gap() {
    let (disk, records) = several_segments();
    let whole = files(&disk);
    for missing in 0..whole.len() - 1 {
        let mut damaged = whole.clone();
        damaged.remove(missing);
        let what = format!("without {}", whole[missing].0);
        let replay = check(&damaged, &records, &what);
        assert_eq!(replay.discarded.expect(&what).reason, Reason::Gap, "{what}");
    }
}

#[test]
fn reasons_say_what_is_wrong() {
    let (disk, records) = several_segments();
    let whole = files(&disk);
    let check_reason = |change: fn(&mut Vec<u8>), expected: Reason| {
        let mut damaged = whole.clone();
        change(&mut damaged.last_mut().expect("a segment").1);
        let told = check(&damaged, &records, &expected.to_string()).discarded.expect("damage");
        assert_eq!(told.reason, expected);
        assert!(
            told.to_string().contains(&expected.to_string()) && told.to_string().contains("corrupt-1"),
            "{told}"
        );
    };
    check_reason(|bytes| bytes.truncate(bytes.len() - 1), Reason::TornRecord);
    check_reason(|bytes| *bytes.last_mut().expect("a byte") ^= 1, Reason::DamagedRecord);
    check_reason(|bytes| bytes.extend([0; 512]), Reason::DamagedRecord);
    check_reason(|bytes| bytes.extend([0; 3]), Reason::TornRecord);
    check_reason(|bytes| bytes[0] = 0, Reason::DamagedHeader);
    check_reason(|bytes| bytes.extend(bytes.clone().split_off(24)), Reason::Gap);
}

#[test]
fn damage_twice_is_kept_twice() {
    let (disk, _) = several_segments();
    for number in 1..4 {
        let last = files(&disk).into_iter().rfind(|(name, _)| name.ends_with(".seg")).expect("a segment").0;
        let mut file = disk.open_append(&path(&last)).expect("opened");
        nkudo_journal::DiskFile::append(&mut file, b"noise").expect("written");
        let told = open(&disk).1.discarded.expect("damage");
        // Nobody had the ones before on record, so they are told with it.
        let aside = |number| path(&format!("{last}.corrupt-{number}"));
        assert_eq!(told.kept, (1..=number).map(aside).collect::<Vec<_>>());
        // A repair that was cut off finds one damage twice, so one place counts once.
        assert_eq!(told.bytes, 5);
        assert_eq!(disk.read_at(&aside(number), 0, u64::MAX).expect("kept"), b"noise");
    }
    open(&disk).0.loss_is_on_record().expect("noted");
    assert_eq!(open(&disk).1.discarded, None);
}

/// That something was lost stays known, whatever becomes of the note.
#[test]
fn a_damaged_note_of_a_loss_is_a_loss() {
    let (disk, _) = several_segments();
    let mut damaged = files(&disk);
    damaged[1].1[30] ^= 1;
    let disk = disk_of(&damaged);
    let told = open(&disk).1.discarded.expect("damage");
    let whole = files(&disk);
    let note = whole.iter().position(|(name, _)| name == "loss").expect("a note");
    for (offset, cut) in (0..whole[note].1.len()).flat_map(|offset| [(offset, false), (offset, true)]) {
        let mut damaged = whole.clone();
        if cut {
            damaged[note].1.truncate(offset);
        } else {
            damaged[note].1[offset] ^= 0x10;
        }
        let disk = disk_of(&damaged);
        let (mut journal, replay) = open(&disk);
        let found = replay.discarded.expect("it is told");
        assert_eq!(found.reason, Reason::Unknown, "byte {offset}, cut: {cut}: {found} in place of {told}");
        journal.loss_is_on_record().expect("noted");
        assert_eq!(open(&disk).1.discarded, None);
    }
}

#[test]
fn an_old_journal_under_a_damaged_base_is_kept() {
    let (disk, _) = several_segments();
    let mut newest = files(&disk);
    let (mut journal, _) = open(&disk);
    journal.compact([b"whole".to_vec()]).expect("compacted");
    let mut base = files(&disk).pop().expect("the base");
    *base.1.last_mut().expect("a byte") ^= 1;
    let older = newest.len();
    newest.push(base);
    let replay = open(&disk_of(&newest)).1;
    let told = replay.discarded.expect("damage");
    assert!(replay.records.is_empty());
    assert_eq!(told.kept.len(), older + 1, "{told}");
}

/// A repair that is cut off anywhere is finished by the next one, with the same result.
#[test]
fn a_repair_cut_off_at_each_step() {
    let (disk, records) = several_segments();
    let mut damaged = files(&disk);
    damaged[1].1[30] ^= 1;
    damaged.push(("00000000000000009999.seg.new".to_owned(), b"half a base".to_vec()));
    let expected = open(&disk_of(&damaged)).1;
    assert!(records.starts_with(&payloads(&expected)));
    let offset = expected.discarded.as_ref().expect("damage").offset;
    let tail = damaged[1].1.split_at(usize::try_from(offset).expect("small")).1;
    let mut step = 0;
    loop {
        let disk = disk_of(&damaged);
        disk.fail(step..u64::MAX);
        let finished = try_open(&disk).is_ok();
        for (what, after) in [("power lost", disk.crash()), ("killed", disk.kill())] {
            let replay = open(&after).1;
            assert_eq!(replay.records, expected.records, "{what} at step {step}");
            let told = replay.discarded.expect("nobody has it on record");
            assert_eq!(
                told.bytes,
                expected.discarded.as_ref().expect("damage").bytes,
                "{what} at step {step}"
            );
            let everything = kept_after(&after);
            for lost in [tail.to_vec(), damaged[2].1.clone()] {
                assert!(everything.contains(&lost), "{what} at step {step}: everything is kept");
            }
        }
        if finished {
            break;
        }
        step += 1;
    }
    assert!(step > 3, "{step} steps");
}

fn kept_after(disk: &SimulatedDisk) -> Vec<Vec<u8>> {
    files(disk).into_iter().filter(|(name, _)| name.contains(".corrupt-")).map(|(_, bytes)| bytes).collect()
}
