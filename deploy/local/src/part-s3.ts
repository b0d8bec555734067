import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { S3_ACCESS_KEY, S3_SECRET_KEY } from './config.ts';
import { installVersitygw } from './install-go.ts';
import type { LocalPart } from './part.ts';
import { answers } from './running-process.ts';

/** versitygw over two folders: S3 with versions and Object Lock. */
export const s3: LocalPart = {
  readyMsMax: 20_000,
  address: (port) => `http://127.0.0.1:${port}`,
  ready: answers,
  async install(cache, progress) {
    await installVersitygw(cache, progress);
  },
  async prepare(cache, { port, directory }) {
    // Versions lie apart from the objects: versitygw refuses one inside the other.
    const objects = join(directory, 'objects');
    const versions = join(directory, 'versions');
    mkdirSync(objects, { recursive: true });
    mkdirSync(versions, { recursive: true });
    const keys = ['--access', S3_ACCESS_KEY, '--secret', S3_SECRET_KEY];
    return {
      command: await installVersitygw(cache, () => {}),
      args: [...keys, '--port', `127.0.0.1:${port}`, 'posix', '--versioning-dir', versions, objects],
    };
  },
};
