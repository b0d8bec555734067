import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/*
 * Kafka on the wire, as far as a proxy must know it. Both ways: i32 size of what follows.
 *   request  i16 API key, i16 version, i32 correlation id, …
 *   answer   i32 correlation id, …
 * Metadata and FindCoordinator answers name brokers as i16 length, host, i32 port: that port is turned into the proxy's,
 * or clients would go past it.
 */
const PRODUCE = 0;
const METADATA = 3;
const OFFSET_COMMIT = 8;
const FIND_COORDINATOR = 10;

/** What becomes of a request and its answer. */
export type Fate =
  | { readonly do: 'pass' }
  /** Held back this long, and everything behind it on the connection. */
  | { readonly do: 'delay'; readonly ms: number }
  /** The broker does what it was asked; the client's connection is cut in place of the answer, after `applied`. */
  | { readonly do: 'lose-answer'; readonly applied?: () => Promise<void> }
  /** The broker does what it was asked; the client waits in vain. */
  | { readonly do: 'hide-answer' }
  /** The client's connection is cut, and the broker never sees the request. */
  | { readonly do: 'cut' }
  /** The broker never sees the request, and the client waits in vain. */
  | { readonly do: 'swallow' }
  /** The client's connection is cut, and the broker sees the request this much later: after the client's retry. */
  | { readonly do: 'late'; readonly ms: number };

export interface ProxiedRequest {
  readonly isProduce: boolean;
  readonly isOffsetCommit: boolean;
  /** The whole request, as drawn above. */
  readonly frame: Buffer;
}

export interface TcpProxy extends AsyncDisposable {
  /** For clients, in the place of the broker's address. */
  readonly address: string;
  /** Decides about each request. At first all pass. */
  decide: (request: ProxiedRequest) => Fate;
  /** How many requests met each fate. */
  readonly met: ReadonlyMap<Fate['do'], number>;
  /** Nothing passes for this long from now, in no direction, and no connection is refused; 0 ends it. */
  blackhole(ms: number): void;
  /** Cuts every connection. */
  cutAll(): void;
  /** Resolves when no request is on its way late. */
  settled(): Promise<void>;
}

/** A proxy in front of one Kafka broker, which may be away for a while. */
export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const [host = '', targetPort] = splitAddress(target);
  const clients = new Set<Socket>();
  const late = new Set<Promise<void>>();
  const met = new Map<Fate['do'], number>();
  let silentUntil = 0;
  let port = 0;

  const untilHeard = async (): Promise<void> => {
    while (performance.now() < silentUntil) await sleep(20);
  };

  const serve = (client: Socket): void => {
    const broker = connect({ host, port: targetPort });
    const fates = new Map<number, { readonly apiKey: number; readonly fate: Fate }>();
    const cut = (): void => {
      client.destroy();
      broker.destroy();
    };
    const toBroker = async (frame: Buffer): Promise<void> => {
      // What waited behind another request goes with its connection.
      if (broker.destroyed) return;
      const apiKey = frame.readInt16BE(4);
      const fate = proxy.decide({
        isProduce: apiKey === PRODUCE,
        isOffsetCommit: apiKey === OFFSET_COMMIT,
        frame,
      });
      met.set(fate.do, (met.get(fate.do) ?? 0) + 1);
      fates.set(frame.readInt32BE(8), { apiKey, fate });
      if (fate.do === 'cut') return cut();
      if (fate.do === 'swallow') return;
      if (fate.do === 'late') {
        cut();
        const sent = sendLate(host, targetPort, frame, fate.ms).finally(() => late.delete(sent));
        late.add(sent);
        return;
      }
      if (fate.do === 'delay') await sleep(fate.ms);
      await untilHeard();
      if (!broker.destroyed) broker.write(frame);
    };
    const toClient = async (frame: Buffer): Promise<void> => {
      const id = frame.readInt32BE(4);
      const asked = fates.get(id);
      fates.delete(id);
      if (asked?.fate.do === 'lose-answer') {
        await asked.fate.applied?.();
        return cut();
      }
      if (asked?.fate.do === 'hide-answer') return;
      if (asked?.apiKey === METADATA || asked?.apiKey === FIND_COORDINATOR) {
        turnPorts(frame, host, targetPort, port);
      }
      await untilHeard();
      if (!client.destroyed) client.write(frame);
    };
    pump(client, toBroker);
    pump(broker, toClient);
    for (const socket of [client, broker]) {
      socket.setNoDelay(true);
      socket.on('error', cut);
      socket.on('close', cut);
    }
    clients.add(client);
    client.on('close', () => clients.delete(client));
  };

  const server = createServer(serve);
  port = await listening(server);
  const proxy: TcpProxy = {
    address: `127.0.0.1:${port}`,
    decide: () => ({ do: 'pass' }),
    met,
    blackhole(ms) {
      silentUntil = performance.now() + ms;
    },
    cutAll() {
      for (const client of clients) client.destroy();
    },
    async settled() {
      await Promise.all(late);
    },
    async [Symbol.asyncDispose]() {
      silentUntil = 0;
      proxy.cutAll();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  return proxy;
}

/** Hands the frames that a socket brings to `take`, one after another. */
function pump(socket: Socket, take: (frame: Buffer) => Promise<void>): void {
  let held: Buffer = Buffer.alloc(0);
  let turn = Promise.resolve();
  socket.on('data', (bytes: Buffer) => {
    held = held.length === 0 ? bytes : Buffer.concat([held, bytes]);
    while (held.length >= 4 && held.length >= 4 + held.readInt32BE(0)) {
      const size = 4 + held.readInt32BE(0);
      const frame = Buffer.from(held.subarray(0, size));
      held = held.subarray(size);
      turn = turn.then(() => take(frame));
    }
  });
}

/** Sends a request of a connection that is gone, on one of its own, and waits until the broker has answered. */
async function sendLate(host: string, port: number, frame: Buffer, ms: number): Promise<void> {
  await sleep(ms);
  const broker = connect({ host, port });
  await new Promise<void>((resolve) => {
    broker.once('connect', () => broker.write(frame));
    broker.once('data', () => broker.end());
    // A broker that is away takes the request with it, as it would one in its socket.
    broker.once('error', () => broker.destroy());
    broker.once('close', () => resolve());
  });
}

/** Writes `to` wherever the answer names the broker with port `from`. The length stays. */
function turnPorts(frame: Buffer, host: string, from: number, to: number): void {
  const name = Buffer.alloc(2 + host.length + 4);
  name.writeInt16BE(host.length, 0);
  name.write(host, 2, 'latin1');
  name.writeInt32BE(from, 2 + host.length);
  for (let at = frame.indexOf(name); at >= 0; at = frame.indexOf(name, at + name.length)) {
    frame.writeInt32BE(to, at + 2 + host.length);
  }
}

function splitAddress(address: string): [host: string, port: number] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}

function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
}
