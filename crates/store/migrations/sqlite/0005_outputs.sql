-- What the command of an action came to, as JSON.
ALTER TABLE actions ADD COLUMN output TEXT;
