import { explain, isFailure, messageOf } from '@cairn/failure';
import { visible } from '@cairn/session';
import closeWithGrace from 'close-with-grace';
import { createLog, type Logger, type LogOptions } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';

/** What the process gives to the service that it runs. */
export interface ServiceContext {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Called on SIGHUP; a service that has nothing to reload leaves it alone and SIGHUP stops it like SIGTERM. */
  onReload(reload: () => Promise<void>): void;
}

export interface RunOptions {
  readonly level?: LogOptions['level'];
  /** Where log lines go; standard output unless given. */
  readonly destination?: LogOptions['destination'];
  /** How long the service may take to drain before the process ends all the same. */
  readonly drainMsMax?: number;
}

/**
 * The life of a service process: create, run, drain, end.
 *
 * SIGINT and SIGTERM dispose the service, which hands back what it holds; a second signal or the deadline ends the
 * process at once with exit code 1. A failure at the start is one line on standard error and exit code 1; a programmer's
 * mistake later ends the process after a drain, so that a supervisor starts it again from a clean state.
 */
export async function runService(
  name: string,
  create: (context: ServiceContext) => Promise<AsyncDisposable>,
  options: RunOptions = {},
): Promise<void> {
  const log = createLog({
    name,
    level: options.level,
    ...(options.destination ? { destination: options.destination } : {}),
  });
  const reloads: (() => Promise<void>)[] = [];
  let service: AsyncDisposable;
  try {
    service = await create({
      log,
      metrics: createMetrics(name),
      onReload: (reload) => reloads.push(reload),
    });
  } catch (error) {
    process.stderr.write(`${name}: ${visible(explain(error))}\n`);
    if (!isFailure(error)) log.fatal({ error }, 'the service could not start');
    process.exit(1);
  }

  const grace = closeWithGrace(
    { delay: options.drainMsMax ?? 15_000, logger: false, skip: ['SIGHUP', 'SIGUSR2', 'beforeExit'] },
    async ({ signal, err }) => {
      if (err === undefined) log.info({ signal }, 'draining');
      else log.fatal({ error: err }, 'an unexpected error ends the service');
      await service[Symbol.asyncDispose]();
      log.info('stopped');
    },
  );
  process.on('SIGHUP', () => {
    if (reloads.length === 0) return grace.close();
    for (const reload of reloads) {
      reload().then(
        () => log.info('reloaded'),
        (error) => log.error({ reason: messageOf(error) }, 'the reload failed; the old state stays in force'),
      );
    }
  });
  log.info('ready');
}
