import { readFileSync } from 'node:fs';
import { openGuardedHttp, openSyslogTls } from '@cairn/adapters';
import { Failure, messageOf } from '@cairn/failure';
import { type Clock, readSecret } from '@cairn/runtime';
import { datadogLogOf, ecsOf, hecEventOf, ocsfOf, type StoredEvent, syslogMessageOf } from '@cairn/siem';
import { refusalsOf } from '@cairn/webhook';
import type { DestinationConfig, ForwarderConfig } from './config.ts';
import { datadogLogs } from './datadog-logs.ts';
import type { Destination } from './destination.ts';
import { elasticBulk } from './elastic-bulk.ts';
import { ocsfHttp } from './ocsf-http.ts';
import { splunkHec } from './splunk-hec.ts';
import { syslogStream } from './syslog-stream.ts';

/** A destination and the format that it gets. */
export interface OpenDestination {
  readonly destination: Destination;
  readonly format: (event: StoredEvent) => string;
}

/** Time for an answer: receivers index before they answer. */
const ANSWER_MS_MAX = 30_000;
/** An answer of `_bulk` speaks of every item. */
const BULK_ANSWER_BYTES_MAX = 4 * 1_024 ** 2;

/**
 * Opens what a destination's configuration names. Connects to nothing yet.
 *
 * @throws Failure `secret.unreadable`, `config.invalid` when a certificate cannot be read.
 */
export function openDestination(
  config: DestinationConfig,
  network: ForwarderConfig['network'],
  clock: Clock,
  nowMs: () => number,
): OpenDestination {
  const limits = { itemsMax: config.batch.itemsMax, bytesMax: config.batch.bytesMax };
  const refusalOf = refusalsOf(network);
  const ca = pemOf(config.caFile);
  const http = (answerBytesMax = 65_536) =>
    openGuardedHttp({
      refusalOf,
      ca,
      answerMsMax: ANSWER_MS_MAX,
      bodyMsMax: ANSWER_MS_MAX,
      answerBytesMax,
      excerptBytesMax: answerBytesMax,
      connections: 1,
    });
  switch (config.type) {
    case 'splunk': {
      const { url, index, sourcetype } = config;
      const token = readSecret(config.tokenFile);
      const acknowledgement = config.acknowledgement === 'indexer';
      return {
        destination: splunkHec({ http: http(), url, token, acknowledgement, limits, clock, nowMs }),
        format: (event) => JSON.stringify(hecEventOf(event, { index, sourcetype })),
      };
    }
    case 'datadog': {
      const { url, tags } = config;
      return {
        destination: datadogLogs({ http: http(), url, key: readSecret(config.keyFile), limits, nowMs }),
        format: (event) => JSON.stringify(datadogLogOf(event, { tags, nowMs: nowMs() })),
      };
    }
    case 'elastic': {
      const { url, index } = config;
      const authorization = secretOf(config.authorizationFile);
      return {
        destination: elasticBulk({
          http: http(BULK_ANSWER_BYTES_MAX),
          url,
          index,
          authorization,
          limits,
          nowMs,
        }),
        format: (event) => JSON.stringify(ecsOf(event)),
      };
    }
    case 'ocsf': {
      const { url } = config;
      const authorization = secretOf(config.authorizationFile);
      return {
        destination: ocsfHttp({ http: http(), url, authorization, limits, nowMs }),
        format: (event) => JSON.stringify(ocsfOf(event)),
      };
    }
    case 'syslog': {
      const { host, port, enterprise, messageBytesMax: bytesMax } = config;
      const [cert, key] = [pemOf(config.certFile), secretOf(config.keyFile)];
      return {
        destination: syslogStream({
          syslog: openSyslogTls({ host, port, refusalOf, ca, cert, key }),
          limits,
        }),
        format: (event) => syslogMessageOf(event, { enterprise, bytesMax }),
      };
    }
  }
}

const secretOf = (file: string | undefined): string | undefined =>
  file === undefined ? undefined : readSecret(file);

function pemOf(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Failure({
      code: 'config.invalid',
      retry: 'no',
      message: `the certificate in ${file} cannot be read: ${messageOf(error)}`,
    });
  }
}
