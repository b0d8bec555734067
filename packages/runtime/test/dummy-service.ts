// A service for run-service.test.ts: says when it is ready, and how it ended.
import { runService } from '../src/run-service.ts';

const [mode = ''] = process.argv.slice(2);

await runService(
  'dummy',
  async ({ onReload }) => {
    if (mode === 'fails') throw new Error('cannot start');
    if (mode === 'reloads') onReload(async () => void process.stdout.write('RELOADED\n'));
    const alive = setInterval(() => {}, 1_000);
    return {
      async [Symbol.asyncDispose]() {
        if (mode === 'hangs') await new Promise(() => {});
        clearInterval(alive);
        process.stdout.write('DRAINED\n');
      },
    };
  },
  { drainMsMax: 400 },
);
process.stdout.write('READY\n');
