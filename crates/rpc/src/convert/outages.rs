//! Outages.

use nkudo_domain::Outage;

use super::{OUTBOX_ID_MAX_BYTES, WireError, cut, parsed};
use crate::generated as wire;
use crate::message::{OUTAGES_MAX, Outages};

impl From<Outages> for wire::Outages {
    fn from(outages: Outages) -> Self {
        let Outages { ledger_id, outages, last_seq: _, not_understood: _ } = outages;
        Self { ledger_id, outages: outages.into_iter().map(wire::Outage::from).collect() }
    }
}

impl TryFrom<wire::Outages> for Outages {
    type Error = WireError;

    fn try_from(outages: wire::Outages) -> Result<Self, WireError> {
        let wire::Outages { ledger_id, outages } = outages;
        let is_plain = ledger_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if ledger_id.is_empty() || ledger_id.len() > OUTBOX_ID_MAX_BYTES || !is_plain {
            let detail = format!("is not 1 to {OUTBOX_ID_MAX_BYTES} letters, digits and dashes");
            return Err(WireError { field: "outages.ledger_id", detail });
        }
        if outages.len() > OUTAGES_MAX {
            let detail = format!("{} outages are more than {OUTAGES_MAX}", outages.len());
            return Err(WireError { field: "outages.outages", detail });
        }
        let last_seq = outages.iter().map(|outage| outage.seq).max().unwrap_or(0);
        let read: Vec<Result<(u64, Outage), WireError>> = outages.into_iter().map(outage).collect();
        let not_understood =
            u32::try_from(read.iter().filter(|outage| outage.is_err()).count()).unwrap_or(u32::MAX);
        Ok(Self { ledger_id, outages: read.into_iter().flatten().collect(), last_seq, not_understood })
    }
}

impl From<(u64, Outage)> for wire::Outage {
    fn from((seq, outage): (u64, Outage)) -> Self {
        let Outage { cause, evidence, began_at_ms, ended_at_ms, duration_ms, by_wall_clock, failures } =
            outage;
        Self {
            seq,
            cause: cause.to_string(),
            evidence: cut(evidence),
            began_at_ms,
            ended_at_ms,
            duration_ms,
            by_wall_clock,
            failures,
        }
    }
}

fn outage(outage: wire::Outage) -> Result<(u64, Outage), WireError> {
    let wire::Outage { seq, cause, evidence, began_at_ms, ended_at_ms, duration_ms, by_wall_clock, failures } =
        outage;
    let cause = parsed("outages.cause", &cause)?;
    let evidence = cut(evidence);
    Ok((seq, Outage { cause, evidence, began_at_ms, ended_at_ms, duration_ms, by_wall_clock, failures }))
}

#[cfg(test)]
mod tests {
    use nkudo_domain::OutageCause;

    use super::*;

    fn outage_of(cause: OutageCause) -> Outage {
        Outage {
            cause,
            evidence: "DNS: no such name".to_owned(),
            began_at_ms: -5,
            ended_at_ms: 7,
            duration_ms: 12,
            by_wall_clock: true,
            failures: 3,
        }
    }

    fn wire_of(ledger_id: &str, count: u64) -> wire::Outages {
        let outages = (1..=count).map(|seq| (seq, outage_of(OutageCause::Link)).into()).collect();
        wire::Outages { ledger_id: ledger_id.to_owned(), outages }
    }

    #[test]
    fn outages_survive_the_wire() {
        let outages: Vec<(u64, Outage)> = (1..).zip(OutageCause::ALL.map(outage_of)).collect();
        let last_seq = u64::try_from(outages.len()).unwrap();
        let told = Outages { ledger_id: "l".to_owned(), outages, last_seq, not_understood: 0 };
        assert_eq!(Outages::try_from(wire::Outages::from(told.clone())).unwrap(), told);
    }

    #[test]
    fn a_cause_of_a_later_version_is_left_out_and_counted() {
        let mut wire = wire_of("l", 3);
        wire.outages[2].cause = "meteorite".to_owned();
        let read = Outages::try_from(wire).unwrap();
        let numbers: Vec<u64> = read.outages.iter().map(|(seq, _)| *seq).collect();
        assert_eq!((numbers, read.last_seq, read.not_understood), (vec![1, 2], 3, 1));
    }

    #[test]
    fn too_many_and_no_name_are_refused_and_long_evidence_is_cut() {
        let refused = |wire: wire::Outages| Outages::try_from(wire).unwrap_err().to_string();
        assert!(refused(wire_of("l", 65)).contains("65 outages"));
        assert!(refused(wire_of("", 1)).contains("outages.ledger_id"));
        assert!(refused(wire_of(&"l".repeat(65), 1)).contains("1 to 64 letters"));
        assert!(refused(wire_of("a~1/2", 1)).contains("1 to 64 letters"));
        let mut wire = wire_of("l", 1);
        wire.outages[0].evidence = "x".repeat(1 << 20);
        assert_eq!(Outages::try_from(wire).unwrap().outages[0].1.evidence.len(), 4 << 10);
    }
}
