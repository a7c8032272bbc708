-- When its end was written down, on the control plane's clock: an agent's clock may be far off. Null of what has not ended,
-- and of what a former version has written; that is dated when it is found.
ALTER TABLE actions ADD COLUMN recorded_at_ms BIGINT;
ALTER TABLE executions ADD COLUMN recorded_at_ms BIGINT;
-- The agent was given another one after it.
ALTER TABLE certificates ADD COLUMN superseded BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX actions_by_record ON actions (recorded_at_ms) WHERE recorded_at_ms IS NOT NULL;
CREATE INDEX actions_undated ON actions (ordinal)
    WHERE recorded_at_ms IS NULL AND status NOT IN ('queued', 'delivered', 'running');
CREATE INDEX executions_by_record ON executions (recorded_at_ms) WHERE recorded_at_ms IS NOT NULL;
CREATE INDEX executions_undated ON executions (agent_id, action_id) WHERE recorded_at_ms IS NULL;
CREATE INDEX certificates_superseded ON certificates (expires_at_ms) WHERE superseded;
CREATE INDEX enrolment_tokens_by_expiry ON enrolment_tokens (expires_at_ms);
CREATE INDEX agents_unenrolled ON agents (unenrolled_at_ms) WHERE unenrolled_at_ms IS NOT NULL;

CREATE INDEX actions_of_vm_by_time ON actions (tenant_id, vm_id, created_at_ms, action_id);
CREATE INDEX executions_of_agent_by_time ON executions (tenant_id, agent_id, started_at_ms, action_id);
CREATE INDEX executions_of_vm_by_time ON executions (tenant_id, vm_id, started_at_ms, action_id, agent_id);
