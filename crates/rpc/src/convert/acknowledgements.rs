//! Acknowledgements of results.

use super::WireError;
use crate::generated as wire;
use crate::message::ToAgent;

/// No host numbers this many results. What counts on from an acknowledged number has room above it.
const SEQ_MAX: u64 = i64::MAX.unsigned_abs();

impl TryFrom<wire::Acknowledge> for ToAgent {
    type Error = WireError;

    fn try_from(acknowledge: wire::Acknowledge) -> Result<Self, WireError> {
        let wire::Acknowledge { seq } = acknowledge;
        if seq > SEQ_MAX {
            let detail = format!("{seq} is more than {SEQ_MAX}");
            return Err(WireError { field: "acknowledge.seq", detail });
        }
        Ok(Self::Acknowledge { seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seq: u64, expected: Result<u64, &str>) {
        let message = ToAgent::Acknowledge { seq };
        let read = ToAgent::try_from(wire::ServerMessage::from(message)).map_err(|error| error.to_string());
        assert_eq!(read, expected.map(|seq| ToAgent::Acknowledge { seq }).map_err(str::to_owned));
    }

    #[test]
    fn a_number_that_leaves_no_room_above_it_is_refused() {
        check(0, Ok(0));
        check(SEQ_MAX, Ok(SEQ_MAX));
        let refused = "acknowledge.seq: 9223372036854775808 is more than 9223372036854775807";
        check(SEQ_MAX + 1, Err(refused));
        check(u64::MAX, Err("acknowledge.seq: 18446744073709551615 is more than 9223372036854775807"));
    }
}
