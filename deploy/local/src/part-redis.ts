import { mkdirSync } from 'node:fs';
import { installRedis } from './install.ts';
import type { LocalPart } from './part.ts';
import { answers } from './running-process.ts';

/** Debian's Redis, append-only file flushed every second. */
export const redis: LocalPart = {
  readyMsMax: 20_000,
  address: (port) => `redis://127.0.0.1:${port}`,
  ready: answers,
  async install(_cache, progress) {
    await installRedis(progress);
  },
  async prepare(_cache, { port, directory }) {
    mkdirSync(directory, { recursive: true });
    const persistence = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', ''];
    return {
      command: await installRedis(() => {}),
      args: ['--bind', '127.0.0.1', '--port', String(port), '--dir', directory, ...persistence],
    };
  },
};
