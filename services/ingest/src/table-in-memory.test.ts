import { describe } from '@jest/globals';
import { holdTableToItsPromises } from '../test/table-contract.ts';
import { fairWeather, rowsEncoder, TableInMemory } from '../test/table-in-memory.ts';

describe('the table of the simulation', () => {
  const table = new TableInMemory().through(fairWeather);
  holdTableToItsPromises(() => ({ table, encoder: rowsEncoder }));
});
