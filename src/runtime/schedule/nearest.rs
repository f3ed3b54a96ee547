//! What was probably meant by a name that does not exist.

/// The candidate closest to what was written, if one is close enough to be worth naming.
pub(super) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = written.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let known = candidate.to_lowercase();
            // The beginning of a name is meant to be that name, however long the rest.
            let is_cut = lower.len() >= 3 && known.starts_with(&lower);
            let distance = if is_cut {
                1
            } else {
                strsim::osa_distance(&lower, &known)
            };
            (distance, candidate)
        })
        // A third of the letters wrong is a typo, more is another word.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
