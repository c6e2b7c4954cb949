//! Text as editors and shells of other systems write it: UTF-16 of PowerShell's `>`, lines that end with a lone CR.
//! Invariant: only files that nobody but a plan and its steps reads are rewritten; what a tool or a runtime reads itself stays.
//! Absent: guessing an encoding that no byte order mark names.

/// The content of a deciding file as UTF-8, where a byte order mark says that it is UTF-16.
pub fn as_utf8(path: &str, content: Vec<u8>) -> Vec<u8> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ours = name.ends_with(".txt")
        || ["Procfile", "Aptfile", "Staticfile", "static.json", "Pipfile"].contains(&name)
        || [".python-version", ".node-version", ".nvmrc", ".tool-versions"].contains(&name);
    if ours { utf8_of(&content).unwrap_or(content) } else { content }
}

fn utf8_of(content: &[u8]) -> Option<Vec<u8>> {
    let (units, little) = match content {
        [0xff, 0xfe, rest @ ..] => (rest, true),
        [0xfe, 0xff, rest @ ..] => (rest, false),
        _ => return None,
    };
    let pairs = units.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
    let units = pairs.map(|pair| if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) });
    Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes())
}

/// One kind of line end, no byte order mark.
pub(crate) fn plain_lines(text: &str) -> String {
    text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_powershell_writes_is_read() {
        let little: Vec<u8> =
            [0xfeff].into_iter().chain("fl\u{e4}sk\r\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = [0xfeff].into_iter().chain("web: x\n".encode_utf16()).flat_map(u16::to_be_bytes).collect();
        assert_eq!(as_utf8("requirements/base.txt", little.clone()), "fl\u{e4}sk\r\n".as_bytes());
        assert_eq!(as_utf8("Procfile", big), b"web: x\n");
        assert_eq!(as_utf8("package.json", little.clone()), little, "Node.js itself reads that one");
        assert_eq!(as_utf8("Procfile", vec![0xff, 0xfe, 0x77]), b"", "half a letter");
        assert_eq!(as_utf8("Procfile", b"web: x\n".to_vec()), b"web: x\n");
        assert_eq!(plain_lines("\u{feff}a\r\nb\rc\n"), "a\nb\nc\n");
    }
}
