-- When its end was written down, on the control plane's clock: an agent's clock may be far off.
ALTER TABLE actions ADD COLUMN recorded_at_ms BIGINT;
ALTER TABLE executions ADD COLUMN recorded_at_ms BIGINT NOT NULL DEFAULT 0;
UPDATE actions SET recorded_at_ms = completed_at_ms WHERE completed_at_ms IS NOT NULL;
UPDATE executions SET recorded_at_ms = completed_at_ms;

CREATE INDEX actions_by_record ON actions (recorded_at_ms) WHERE recorded_at_ms IS NOT NULL;
CREATE INDEX executions_by_record ON executions (recorded_at_ms);
CREATE INDEX certificates_by_expiry ON certificates (expires_at_ms);
CREATE INDEX enrolment_tokens_by_expiry ON enrolment_tokens (expires_at_ms);
CREATE INDEX agents_unenrolled ON agents (unenrolled_at_ms) WHERE unenrolled_at_ms IS NOT NULL;

CREATE INDEX actions_of_vm_by_time ON actions (tenant_id, vm_id, created_at_ms, action_id);
CREATE INDEX executions_of_agent_by_time ON executions (tenant_id, agent_id, started_at_ms, action_id);
CREATE INDEX executions_of_vm_by_time ON executions (tenant_id, vm_id, started_at_ms, action_id, agent_id);
