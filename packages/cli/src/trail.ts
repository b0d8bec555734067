import { type ClickHouse, openClickHouse } from '@cairn/adapters';
import type { CliConfig } from './config.ts';

/** Opens the trail for one command; the command closes it. */
export type OpenTrail = () => ClickHouse;

export function trailOf(config: CliConfig): OpenTrail {
  return () => openClickHouse(config.clickhouse);
}
