//! The compound files of older Office documents (MS-CFB): the directory alone, in the order in which
//! it is written.

use crate::source::{Source, u16_at, u32_at};

/// What the names in the directory tell.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Ole {
    /// VBA, or a sheet of Excel 4 macros is not told apart here.
    pub(crate) macros: bool,
    /// A document that needs a password.
    pub(crate) encrypted: bool,
    /// A file of any kind within.
    pub(crate) embedded: bool,
    /// An installer (MSI).
    pub(crate) installer: bool,
    /// The directory could not be followed to its end.
    pub(crate) broken: bool,
}

impl Ole {
    pub(crate) fn of(source: &mut Source<'_>) -> Self {
        let mut found = Self::default();
        found.broken = found.look(source).is_none();
        found
    }

    fn look(&mut self, source: &mut Source<'_>) -> Option<()> {
        let header = source.read(0, 512);
        let shift = u16_at(&header, 30).filter(|shift| (7..=12).contains(shift))?;
        let file = Sectors { header, shift: u32::from(shift) };
        let mut sector = u32_at(&file.header, 48)?;
        for _ in 0..SECTORS {
            let octets = source.read(file.place(sector), 1 << file.shift);
            if octets.len() < 1 << file.shift {
                return None;
            }
            for entry in octets.chunks_exact(128) {
                self.judge(entry);
            }
            sector = file.next(source, sector)?;
            if sector >= LAST {
                return (sector == END).then_some(());
            }
        }
        None
    }

    fn judge(&mut self, entry: &[u8]) {
        let length = u16_at(entry, 64).map_or(0, usize::from).min(64) / 2;
        let (units, _) = entry[..64].as_chunks::<2>();
        let units = units.iter().take(length).map(|unit| u16::from_le_bytes(*unit));
        let name: String =
            char::decode_utf16(units).map(|c| c.unwrap_or('?')).filter(|c| *c != '\0').collect();
        match name.as_str() {
            "Macros" | "VBA" | "_VBA_PROJECT" | "_VBA_PROJECT_CUR" => self.macros = true,
            "EncryptedPackage" | "EncryptionInfo" | "EncryptedSummary" => self.encrypted = true,
            "\u{1}Ole10Native" | "Package" => self.embedded = true,
            "Root Entry" => self.installer |= entry[80..96] == INSTALLER,
            _ => {}
        }
    }
}

struct Sectors {
    header: Vec<u8>,
    shift: u32,
}

impl Sectors {
    fn place(&self, sector: u32) -> u64 {
        (u64::from(sector) + 1) << self.shift
    }

    /// What the allocation table says of a sector. The header knows the first 109 sectors of the
    /// table, which is enough for directories of files below 7 MB.
    fn next(&self, source: &mut Source<'_>, sector: u32) -> Option<u32> {
        let each = 1 << (self.shift - 2);
        let (table, entry) = (sector / each, sector % each);
        let place = (table < 109).then(|| u32_at(&self.header, 76 + 4 * table as usize))??;
        let octets = source.read(self.place(place) + 4 * u64::from(entry), 4);
        u32_at(&octets, 0)
    }
}

/// 000C1084-0000-0000-C000-000000000046.
const INSTALLER: [u8; 16] = [0x84, 0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
/// From here on numbers are marks.
const LAST: u32 = 0xffff_fffa;
const END: u32 = 0xffff_fffe;
/// Of a directory: 4 entries each, or 32.
const SECTORS: usize = 256;

#[cfg(test)]
mod tests {
    use portcullis_plugin::Message;

    use super::*;
    use crate::source::Budget;

    /// A file with these names in its directory: header, table, directory.
    fn file(names: &[&str], next: u32) -> Vec<u8> {
        let mut file = vec![0; 512 * 3];
        file[..8].copy_from_slice(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1");
        file[30] = 9;
        file[48] = 1;
        file[512 + 4..512 + 8].copy_from_slice(&next.to_le_bytes());
        for (number, name) in names.iter().enumerate() {
            let at = 1024 + 128 * number;
            for (place, unit) in name.encode_utf16().enumerate() {
                file[at + 2 * place..at + 2 * place + 2].copy_from_slice(&unit.to_le_bytes());
            }
            file[at + 64] = 2 * (name.len() as u8 + 1);
        }
        file
    }

    fn look(file: &[u8]) -> Ole {
        let message = Message::fake("").with_part("a/b", None, file);
        let budget = Budget::new(1 << 20);
        Ole::of(&mut Source::new(&message, 0, file.len() as u64, &budget))
    }

    #[test]
    fn the_directory_tells() {
        assert_eq!(look(&file(&["Root Entry", "WordDocument"], END)), Ole::default());
        let macros = Ole { macros: true, ..Ole::default() };
        assert_eq!(look(&file(&["Root Entry", "Macros", "VBA"], END)), macros);
        let encrypted = Ole { encrypted: true, ..Ole::default() };
        assert_eq!(look(&file(&["Root Entry", "EncryptedPackage"], END)), encrypted);
        let mut installer = file(&["Root Entry"], END);
        installer[1024 + 80..1024 + 96].copy_from_slice(&INSTALLER);
        assert!(look(&installer).installer);
    }

    #[test]
    fn directories_that_lead_nowhere_end() {
        // To itself, far away, and a file that is cut off.
        assert!(look(&file(&["VBA"], 1)).broken);
        assert!(look(&file(&["VBA"], 1 << 30)).broken);
        assert!(look(&file(&["VBA"], END)[..600]).broken);
        assert!(look(b"\xd0\xcf\x11\xe0").broken);
        let all_ones = [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(), &[0xff; 2048]].concat();
        assert!(look(&all_ones).broken);
    }
}
