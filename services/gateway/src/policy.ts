import type { Decision, Enforcement } from '@cairn/event';

/** What is asked. */
export interface PolicyQuestion {
  readonly org: string;
  readonly agent: string;
  readonly agentVersion: string;
  readonly principalType: string;
  readonly action: 'call_tool' | 'read_resource' | 'get_prompt';
  readonly service: string;
  /** Tool, resource or prompt. */
  readonly name: string;
  readonly toolAction: string;
  readonly sensitivity: string;
  readonly dataClasses: readonly string[];
  readonly environment: string;
  readonly sessionId: string;
  readonly hasUser: boolean;
}

/** What the policy said. Names are the event's. */
export interface PolicyAnswer {
  readonly decision: Decision;
  readonly policy_engine: string;
  readonly policy_set_hash: Uint8Array;
  readonly rules_evaluated: readonly string[];
  readonly rules_matched: readonly string[];
  readonly policy_errors: readonly string[];
  readonly enforcement: Enforcement;
}

export interface Policy {
  decide(question: PolicyQuestion): PolicyAnswer;
}
