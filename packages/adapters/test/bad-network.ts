import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/**
 * What the line does with the next connection:
 * - `drop-request`: it breaks before anything reaches the other side.
 * - `drop-answer`: the request arrives and its answer is lost.
 * - `hang`: nothing arrives and nothing comes back.
 * - `cut-answer`: the answer stops half way, and then the line breaks.
 * - `stall-answer`: the answer stops half way, and nothing more comes.
 */
export type LineFault = 'drop-request' | 'drop-answer' | 'hang' | 'cut-answer' | 'stall-answer';

export interface BadNetwork extends AsyncDisposable {
  readonly url: string;
  /** For every connection opened from now on; undefined: a good line. */
  fault: LineFault | undefined;
}

/** Bytes of an answer that pass before it stops. */
const HALF_BYTES = 100_000;

/** A line to a server on this machine that fails as it is told. One request a connection is assumed while it fails. */
export async function badNetwork(target: string): Promise<BadNetwork> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): Socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    return socket;
  };
  const line: { fault: LineFault | undefined } = { fault: undefined };
  const server = createServer((near) => {
    keep(near);
    const { fault } = line;
    if (fault === 'drop-request') return near.once('data', () => near.resetAndDestroy());
    if (fault === 'hang') return near.resume();
    const far = keep(connect(Number(port), hostname));
    near.pipe(far);
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    if (fault === undefined) return far.pipe(near);
    if (fault === 'drop-answer') return far.once('data', () => near.resetAndDestroy());
    let passed = 0;
    return far.on('data', (bytes: Buffer) => {
      const room = HALF_BYTES - passed;
      passed += bytes.length;
      if (room > 0) near.write(bytes.subarray(0, room));
      if (passed >= HALF_BYTES && fault === 'cut-answer') near.end(() => near.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get fault() {
      return line.fault;
    },
    set fault(fault) {
      line.fault = fault;
      // Connections that are kept open would go on being good.
      for (const socket of sockets) socket.destroy();
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
