-- Times are Unix milliseconds. Whatever belongs to a tenant goes with it.

CREATE TABLE tenants (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE sites (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    site_id TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, site_id)
);

CREATE TABLE api_keys (
    key_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    role TEXT NOT NULL,
    secret_digest BLOB NOT NULL,
    created_at_ms BIGINT NOT NULL
);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant_id, key_id);

CREATE TABLE enrolment_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    site_id TEXT NOT NULL,
    secret_digest BLOB NOT NULL,
    uses BIGINT NOT NULL,
    uses_left BIGINT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX enrolment_tokens_by_tenant ON enrolment_tokens (tenant_id, token_id);

CREATE TABLE agents (
    agent_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    site_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    version TEXT NOT NULL,
    labels TEXT NOT NULL,
    enrolled_at_ms BIGINT NOT NULL,
    last_seen_ms BIGINT,
    goodbye TEXT,
    unenrolled_at_ms BIGINT,
    -- How far its results are recorded.
    outbox_id TEXT NOT NULL DEFAULT '',
    outbox_seq BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX agents_by_tenant ON agents (tenant_id, agent_id);

CREATE TABLE certificates (
    serial TEXT NOT NULL PRIMARY KEY,
    agent_id TEXT NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    tenant_id TEXT NOT NULL,
    issued_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    revoked_at_ms BIGINT
);
CREATE INDEX certificates_by_agent ON certificates (agent_id);

CREATE TABLE vms (
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL REFERENCES agents (agent_id) ON DELETE CASCADE,
    vm_id TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    vcpus BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    provider TEXT NOT NULL,
    pid BIGINT,
    since_ms BIGINT NOT NULL,
    restarts BIGINT NOT NULL,
    labels TEXT NOT NULL,
    PRIMARY KEY (agent_id, vm_id)
);
CREATE INDEX vms_by_tenant ON vms (tenant_id, vm_id, agent_id);

CREATE TABLE actions (
    ordinal INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    action_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    action_type TEXT NOT NULL,
    vm_id TEXT NOT NULL,
    body TEXT NOT NULL,
    origin TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at_ms BIGINT NOT NULL,
    expires_at_ms BIGINT NOT NULL,
    sent_at_ms BIGINT,
    cancel_asked BOOLEAN NOT NULL,
    started_at_ms BIGINT,
    completed_at_ms BIGINT,
    duration_ms BIGINT,
    changed BOOLEAN,
    error TEXT,
    retries BIGINT NOT NULL,
    UNIQUE (tenant_id, action_id)
);
CREATE INDEX actions_by_time ON actions (tenant_id, created_at_ms, action_id);
CREATE INDEX actions_of_agent_by_time ON actions (tenant_id, agent_id, created_at_ms, action_id);
CREATE INDEX actions_open ON actions (agent_id, ordinal) WHERE status IN ('queued', 'delivered', 'running');
CREATE INDEX actions_unsent ON actions (expires_at_ms) WHERE status = 'queued' AND sent_at_ms IS NULL;

CREATE TABLE executions (
    tenant_id TEXT NOT NULL REFERENCES tenants (tenant_id) ON DELETE CASCADE,
    agent_id TEXT NOT NULL,
    action_id TEXT NOT NULL,
    action_type TEXT NOT NULL,
    vm_id TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at_ms BIGINT NOT NULL,
    completed_at_ms BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    error TEXT,
    retries BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION NOT NULL,
    memory_bytes BIGINT NOT NULL,
    trace_id TEXT,
    PRIMARY KEY (agent_id, action_id)
);
CREATE INDEX executions_by_time ON executions (tenant_id, started_at_ms, action_id, agent_id);

CREATE TABLE notes (
    name TEXT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);
