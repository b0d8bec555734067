import { type ClickHouse, openClickHouse } from '@cairn/adapters';
import type { CliConfig } from './config.ts';

/** Opens the trail for one command; the command closes it. */
export type OpenTrail = () => Promise<ClickHouse>;

export function trailOf(config: CliConfig): OpenTrail {
  const { url, user, password } = config.clickhouse;
  return () =>
    openClickHouse({
      url,
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
    });
}
