//! The frames between a session and the server: four bytes of length (big endian, of what follows the tag), a tag, the
//! bytes. The server's half is its `inside` folder. Pure: bytes in, frames out.
//!
//! From the server: `S` start (JSON), `i` input, `e` its end, `z` rows and columns (two bytes each). To it: `o` and `r` output and
//! errors, `n` why nothing was started, `x` the exit status, the last.

use serde_json::Value;

/// The server sends input in smaller pieces.
const FRAME_MAX: usize = 256 * 1024;
const HEAD: usize = 5;

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    Start(Start),
    Input(Vec<u8>),
    InputEnd,
    Resize(Size),
}

/// What to run; no program at all means a shell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub argv: Vec<String>,
    /// `TERM` and the size, where there is a terminal.
    pub terminal: Option<(String, Size)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// Takes the first whole frame off the buffer. An error: the other side does not speak this.
pub fn take(buffer: &mut Vec<u8>) -> Result<Option<Ask>, &'static str> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEAD>() else { return Ok(None) };
    let [a, b, c, d, tag] = *head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err("a frame that is too long");
    }
    let Some(bytes) = rest.get(..length) else { return Ok(None) };
    let ask = match tag {
        b'S' => Ask::Start(start(bytes).ok_or("a start that makes no sense")?),
        b'i' => Ask::Input(bytes.to_vec()),
        b'e' => Ask::InputEnd,
        b'z' => match *bytes {
            [a, b, c, d] => Ask::Resize(Size { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) }),
            _ => return Err("a size that is none"),
        },
        _ => return Err("a frame of an unknown kind"),
    };
    buffer.drain(..HEAD + length);
    Ok(Some(ask))
}

/// Puts a frame behind what is in the buffer.
pub fn put(buffer: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    buffer.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    buffer.push(tag);
    buffer.extend_from_slice(bytes);
}

fn start(bytes: &[u8]) -> Option<Start> {
    let json: Value = serde_json::from_slice(bytes).ok()?;
    let words = json.get("argv")?.as_array()?.iter();
    let argv = words.map(|word| word.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let number = |json: &Value, key: &str| u16::try_from(json.get(key)?.as_u64()?).ok();
    let terminal = match json.get("terminal") {
        None | Some(Value::Null) => None,
        Some(it) => {
            let size = Size { rows: number(it, "rows")?, columns: number(it, "columns")? };
            Some((it.get("term")?.as_str()?.to_owned(), size))
        }
    };
    Some(Start { argv, terminal })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, tag, bytes);
        out
    }

    #[test]
    fn frames_come_in_any_pieces() {
        let start = br#"{"argv":["a","b"],"terminal":{"term":"xterm","rows":24,"columns":80}}"#;
        let all = [frame(b'S', start), frame(b'i', b"x"), frame(b'z', &[0, 1, 2, 3]), frame(b'e', b"")].concat();
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for byte in all {
            buffer.push(byte);
            seen.extend(take(&mut buffer).unwrap());
        }
        let size = Size { rows: 24, columns: 80 };
        let start = Start { argv: vec!["a".into(), "b".into()], terminal: Some(("xterm".into(), size)) };
        let resize = Ask::Resize(Size { rows: 1, columns: 515 });
        assert_eq!(seen, [Ask::Start(start), Ask::Input(b"x".to_vec()), resize, Ask::InputEnd]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn nonsense_is_an_error() {
        let bad: [(u8, &[u8]); 6] = [
            (b'?', b""),
            (b'z', b"abc"),
            (b'S', b"{"),
            (b'S', b"{}"),
            (b'S', br#"{"argv":[1]}"#),
            (b'S', br#"{"argv":[],"terminal":{"term":"x","rows":70000,"columns":1}}"#),
        ];
        for (tag, bytes) in bad {
            assert!(take(&mut frame(tag, bytes)).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert!(take(&mut vec![255, 255, 255, 255, b'i']).is_err());
    }
}
