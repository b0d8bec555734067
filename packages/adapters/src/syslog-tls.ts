import { once } from 'node:events';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { isFailure, messageOf } from '@cairn/failure';
import { addressesOf, checkedAddress, unreached } from './http-client.ts';

export interface SyslogTlsOptions {
  readonly host: string;
  readonly port: number;
  /** Says why an address must not be connected to; undefined when it may. */
  readonly refusalOf: (address: string) => string | undefined;
  /** Certificates, PEM, that the receiver may be certified by, in place of the public ones. */
  readonly ca?: string | undefined;
  /** Our own certificate and its key, PEM, for receivers that ask for one. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Longest for one batch, connection included; default 30,000. */
  readonly msMax?: number;
}

export interface SyslogTls {
  /**
   * Sends messages over a connection of their own, in frames of RFC 5425 (octet counting):
   *
   *     MSG-LEN SP SYSLOG-MSG …
   *
   * Syslog has no acknowledgement. What comes nearest: this side ends first, and the receiver, which sees the end only behind the
   * last message, ends its side in order. Resolves then. A connection that breaks before, or a receiver that does not end or ends first,
   * means that nobody knows how much was read. A receiver that dies with what it has read cannot be told from one that kept it.
   *
   * @throws Failure `http.refused-address`, `http.timeout`, `http.unreachable`
   */
  send(messages: readonly string[], over: AbortSignal): Promise<void>;
}

export function openSyslogTls(options: SyslogTlsOptions): SyslogTls {
  const { host, port, refusalOf, ca, cert, key, msMax = 30_000 } = options;
  return {
    async send(messages, over) {
      const address = await checkedAddress(host, addressesOf, refusalOf);
      const late = AbortSignal.timeout(msMax);
      const signal = AbortSignal.any([over, late]);
      const socket = connect({
        host: address,
        port,
        minVersion: 'TLSv1.2',
        // A certificate is for the name, not for the address that it was resolved to.
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      });
      const abort = (): void => void socket.destroy(new Error('called off'));
      signal.addEventListener('abort', abort, { once: true });
      try {
        await once(socket, 'secureConnect', { signal });
        const ended = once(socket, 'end', { signal });
        // A receiver of syslog says nothing; whatever it says is read, so that its end is seen.
        socket.resume();
        let isSent = false;
        socket.end(framesOf(messages), () => {
          isSent = true;
        });
        await ended;
        if (!isSent) throw new Error('the receiver ended before it had everything');
      } catch (error) {
        if (isFailure(error)) throw error;
        if (late.aborted) throw unreached('timeout', `not taken within ${msMax} ms`, error);
        throw unreached('unreachable', messageOf(error), error);
      } finally {
        signal.removeEventListener('abort', abort);
        socket.on('error', () => {});
        socket.destroy();
      }
    },
  };
}

/** RFC 5425, section 4.3: the length counts octets. */
function framesOf(messages: readonly string[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const bytes = Buffer.from(message);
      return [Buffer.from(`${bytes.length} `), bytes];
    }),
  );
}
