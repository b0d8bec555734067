import { isFailure, messageOf } from '@cairn/failure';
import type { Destination } from './destination.ts';
import { saidBy } from './http-verdict.ts';

export interface SyslogStreamOptions {
  /** What sending asks of the network. packages/adapters/src/syslog-tls.ts does it over TLS. */
  readonly syslog: { send(messages: readonly string[], over: AbortSignal): Promise<void> };
  readonly limits: Destination['limits'];
}

/** Syslog of RFC 5424 over TLS: one connection for each batch, taken when the receiver has read to its end. */
export function syslogStream({ syslog, limits }: SyslogStreamOptions): Destination {
  return {
    limits,
    async send(items, over) {
      try {
        await syslog.send(
          items.map(({ text }) => text),
          over,
        );
        return { kind: 'taken' };
      } catch (error) {
        const reason = isFailure(error) ? `${error.code}: ${messageOf(error)}` : messageOf(error);
        const stopped = isFailure(error, 'http.refused-address');
        return { kind: 'unavailable', reason: saidBy(reason), stopped };
      }
    },
    [Symbol.asyncDispose]: async () => {},
  };
}
