//! A listener for the door.
