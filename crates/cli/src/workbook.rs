//! Reads a workbook of cases for whichever command was handed one. Refuses to show the words of the reader below: they may
//! repeat a cell of a person's case.

use clearhouse_casework::htcds::{Import, ImportFault, ReadOptions, read};

/// Reads a workbook. The reader below may panic over a file that was made to harm; that is caught where it is called and
/// told as a fault. Its own words stay off the screen: they may repeat a cell, and nobody could act on them.
///
/// The hook is the whole program's: call it while nothing else runs.
///
/// # Errors
/// As the reader's, which quote no cell.
pub(crate) fn read_quietly(bytes: &[u8], options: &ReadOptions) -> Result<Import, ImportFault> {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let import = read(bytes, options);
    std::panic::set_hook(before);
    import
}
