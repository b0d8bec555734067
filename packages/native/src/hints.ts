import type { Hints } from './plan.ts';

/** What the schema of events cannot say of its fields; the columns of the table say the same. */
export const HINTS = {
  uuids: new Set(['parent_event_id']),
  dictionaries: new Set([
    'org_id',
    'gateway_id',
    'gateway_version',
    'environment',
    'agent_id',
    'agent_version',
    'auth_method',
    'client_name',
    'client_version',
    'protocol_version',
    'method',
    'service',
    'tool_name',
    'data_classes',
    'parameters_shape',
    'error_code',
    'permission_profile',
    'permission_profile_version',
    'policy_engine',
    'rules_evaluated',
    'rules_matched',
    'key_id',
    'tool_hash',
    'policy_set_hash',
  ]),
  rare: new Set(['signature']),
  cut: new Map([
    ['parameters_hash', 16],
    ['response_hash', 16],
  ]),
} satisfies Hints;
