//! Erasing on a real disk, cut short at every commit.
