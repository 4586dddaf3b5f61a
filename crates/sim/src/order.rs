//! Whether what one connection asked of one key took effect in the order of sending.
//!
//! The checkers of histories take what a connection sent at once for concurrent, as it is across
//! shards; within a shard the store promises more. Texts show it: they only grow, so the length
//! that a request left behind, or saw, tells where it took effect. One of unknown outcome has its
//! place as well: it takes effect before what its connection asks next, or never.

use std::collections::BTreeMap;

use history::{Call, Key, Operation, Reply};

use crate::world::ConnectionId;

/// What was asked of each text over each connection, in the order of sending.
#[derive(Default)]
pub(crate) struct Sequences {
    by_connection: BTreeMap<(ConnectionId, Key), Vec<usize>>,
}

impl Sequences {
    /// Notes the next operation on a text, by its place in the history.
    pub(crate) fn add(&mut self, connection: ConnectionId, key: Key, operation: usize) {
        self.by_connection.entry((connection, key)).or_default().push(operation);
    }

    /// Two operations of one connection that took effect in the wrong order, in words.
    pub(crate) fn find_disorder(&self, history: &[Operation]) -> Option<String> {
        let texts = longest_texts(history);
        for ((connection, key), operations) in &self.by_connection {
            let text = texts.get(key).copied().unwrap_or_default();
            let mut before: Option<(usize, &Operation)> = None;
            for operation in operations.iter().map(|&at| &history[at]) {
                let Some(length) = length_after(operation, text) else { continue };
                let grows = matches!(operation.call, Call::Append(_));
                let wrong = |&(last, _): &(usize, &Operation)| length < last + usize::from(grows);
                if let Some((last, earlier)) = before.filter(wrong) {
                    return Some(format!(
                        "over c{}: {earlier} left {last} bytes, but then {operation} left {length}",
                        connection.0
                    ));
                }
                // One of unknown outcome takes effect before what its client asks next, or never.
                before = Some((length, operation));
            }
        }
        None
    }
}

/// The longest text that was read of each key: as texts only grow, it is the last.
fn longest_texts(history: &[Operation]) -> BTreeMap<&Key, &[u8]> {
    let mut texts: BTreeMap<&Key, &[u8]> = BTreeMap::new();
    for operation in history {
        if let (Call::Get, Some(Reply::Bytes(text))) = (&operation.call, &operation.reply) {
            let known = texts.entry(&operation.key).or_default();
            *known = if text.len() > known.len() { text } else { known };
        }
    }
    texts
}

/// How long the text was when an operation had taken effect; `None` if it did not, or if nobody
/// can know.
fn length_after(operation: &Operation, text: &[u8]) -> Option<usize> {
    let length = match operation.reply.as_ref() {
        Some(Reply::Bytes(seen)) => Some(seen.len()),
        Some(Reply::Absent) => Some(0),
        Some(Reply::Integer(length)) => usize::try_from(*length).ok(),
        Some(Reply::Flag(_) | Reply::List(_) | Reply::Error(_)) | None => None,
    };
    match &operation.call {
        // Without an answer the piece may be there all the same.
        Call::Append(piece) if length.is_none() => {
            let at = text.windows(piece.len()).position(|window| window == piece)?;
            Some(at + piece.len())
        }
        Call::Append(_) | Call::Get => length,
        Call::Set(_)
        | Call::Cas { .. }
        | Call::Increment(_)
        | Call::Delete
        | Call::Transaction(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use history::Status;

    use super::*;

    fn operation(call: Call, reply: Option<Reply>) -> Operation {
        Operation {
            process: 1,
            key: b"t".to_vec().into(),
            call,
            start: 0,
            end: Some(1),
            reply,
            status: Status::Ok,
            node: None,
            epoch: None,
        }
    }

    fn disorder(history: &[Operation]) -> Option<String> {
        let mut sequences = Sequences::default();
        for (at, operation) in history.iter().enumerate() {
            sequences.add(ConnectionId(1), operation.key.clone(), at);
        }
        sequences.find_disorder(history)
    }

    fn append(piece: &[u8], length: Option<i64>) -> Operation {
        operation(Call::Append(piece.to_vec()), length.map(Reply::Integer))
    }

    fn get(text: &[u8]) -> Operation {
        operation(Call::Get, Some(Reply::Bytes(text.to_vec())))
    }

    #[test]
    fn the_order_of_sending_is_fine() {
        assert_eq!(disorder(&[append(b"ab", Some(2)), get(b"ab"), append(b"c", Some(3))]), None);
    }

    #[test]
    fn what_was_overtaken_shows() {
        assert!(disorder(&[append(b"ab", Some(5)), append(b"c", Some(3))]).is_some());
        assert!(disorder(&[append(b"ab", Some(2)), get(b"")]).is_some(), "a read too early");
        assert!(disorder(&[get(b"ab"), append(b"ab", Some(2))]).is_some(), "a read too late");
        let unknown = [append(b"ab", None), append(b"c", Some(1)), get(b"cab")];
        assert!(disorder(&unknown).is_some(), "an append without an answer");
    }
}
