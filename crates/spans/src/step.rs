//! Spans of what is done for many reasons.

/// A span of a step that is told only as part of something: at info level within another span, at debug level where it
/// stands alone. What is done for a request and also every few seconds, as a look at a process or a query, then shows in
/// the request's trace and begins none by itself. Written as [`tracing::info_span!`] without `parent` and `target`; whoever
/// uses it depends on `tracing`.
///
/// ```
/// let (subscriber, drain) = nkudo_spans::spans(&nkudo_spans::SpansOptions::default(), ());
/// let look = || nkudo_spans::step!("look", pid = 7).in_scope(|| ());
/// tracing::subscriber::with_default(subscriber, || {
///     look();
///     tracing::info_span!("request").in_scope(look);
/// });
/// let mut names = Vec::new();
/// drain.unwrap().pass(|span| names.extend(span.to_finished().map(|span| span.name)));
/// assert_eq!(names, ["look", "request"]);
/// ```
#[macro_export]
macro_rules! step {
    ($($span:tt)+) => {
        if $crate::current().is_some() {
            ::tracing::info_span!($($span)+)
        } else {
            ::tracing::debug_span!($($span)+)
        }
    };
}
