//! SIP messages as their bytes: index, views, building, editing, framing.
