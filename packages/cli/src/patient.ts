import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openKafka } from '@cairn/adapters';
import { REPOSITORY } from '@cairn/local';
import { type CliConfig, MIGRATIONS } from './config.ts';
import type { Patient } from './examine.ts';
import type { OpenTrail } from './trail.ts';

/** This machine and what the configuration names, for the doctor. */
export function patientOf(config: CliConfig, openTrail: OpenTrail): Patient {
  return {
    node: { running: process.versions.node, pinned: pinnedNode() },
    java,
    addresses: {
      kafka: config.kafkaBrokers,
      clickhouse: config.clickhouse.url,
      redis: config.redisUrl,
      s3: config.s3.endpoint,
    },
    listens,
    openKafka: () => openKafka({ brokers: config.kafkaBrokers.split(','), clientId: 'cairn-doctor' }),
    openTrail,
    classes: config.classes,
    migrationsDirectory: MIGRATIONS,
    nowMs: () => performance.timeOrigin + performance.now(),
  };
}

function pinnedNode(): string {
  const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8'));
  return manifest.devDependencies.node;
}

async function java(): Promise<string | undefined> {
  try {
    const { stderr, stdout } = await promisify(execFile)('java', ['-version'], { timeout: 10_000 });
    return (stderr || stdout).split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

const CONNECT_MS_MAX = 2_000;

/** @param address a URL, `host:port`, or several with commas between, of which the first counts. */
export function listens(address: string): Promise<boolean> {
  const first = address.split(',', 1)[0] ?? '';
  const text = first.includes('://') ? first : `tcp://${first}`;
  if (!URL.canParse(text)) return Promise.resolve(false);
  const { hostname, port, protocol } = new URL(text);
  // node:net wants IPv6 without the brackets.
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port || DEFAULT_PORTS[protocol] || 0) });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(CONNECT_MS_MAX, () => end(false));
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'redis:': 6_379, 'http:': 80, 'https:': 443 };
