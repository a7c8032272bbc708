-- The newest line of its audit log that was seen, SEQ:HASH.
ALTER TABLE agents ADD COLUMN audit_head TEXT;
