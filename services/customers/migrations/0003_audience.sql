-- Whole pages of an audience learn from it who did not agree to marketing; the contacts themselves are not read.
create index contact_without_marketing on contact (contact_id) where not marketing;
