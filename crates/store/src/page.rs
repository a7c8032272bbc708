//! Lists, page by page.

/// Which page of a list is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Most items of the page; at least 1.
    pub limit: u32,
    /// Where it starts, as an earlier page said; the first page when absent.
    pub cursor: Option<String>,
}

impl Page {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { limit, cursor: None }
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    pub items: Vec<T>,
    /// Where the next page starts; none on the last.
    pub next_cursor: Option<String>,
}
