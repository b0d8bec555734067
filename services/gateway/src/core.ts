import type { PrivacyGuard, Sealer } from '@cairn/privacy';
import type { Recorder } from '@cairn/recorder';
import type { Logger, Metrics } from '@cairn/runtime';
import type { OpenCall } from './call.ts';
import type { ClientSessions } from './client-sessions.ts';
import type { GatewayConfig } from './config.ts';
import type { createSessions } from './derive-session.ts';
import type { Caller } from './identity.ts';
import type { createGatewayMetrics } from './metrics.ts';
import type { PendingCalls } from './pending-calls.ts';
import type { Policy } from './policy.ts';
import type { ToolCatalogue } from './tool-catalogue.ts';

/** What every call of a gateway shares. */
export interface Core {
  readonly config: GatewayConfig;
  readonly callerOf: (authorization: string | undefined) => Caller | undefined;
  readonly sessionOf: ReturnType<typeof createSessions>;
  readonly policy: () => Policy;
  readonly guard: PrivacyGuard;
  /** Absent where the configuration seals nothing. */
  readonly sealer: Sealer | undefined;
  readonly recorder: Recorder;
  readonly catalogue: ToolCatalogue;
  /** Calls whose end is not recorded yet. */
  readonly open: Set<OpenCall>;
  readonly pending: PendingCalls;
  readonly sessions: ClientSessions;
  readonly count: ReturnType<typeof createGatewayMetrics>;
  readonly metrics: Metrics;
  readonly log: Logger;
}
