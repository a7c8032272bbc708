-- Why agents were away, as they told it themselves; times are of their hosts' clocks.
CREATE TABLE outages (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    ledger_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    cause TEXT NOT NULL,
    evidence TEXT NOT NULL,
    began_at_ms BIGINT NOT NULL,
    ended_at_ms BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    by_wall_clock BOOLEAN NOT NULL,
    failures BIGINT NOT NULL,
    PRIMARY KEY (agent_id, ledger_id, seq)
);
CREATE INDEX outages_by_time ON outages (tenant_id, agent_id, ended_at_ms, ledger_id, seq);
