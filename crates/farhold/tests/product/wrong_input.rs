//! Wrong settings, wrong files and full disks.
