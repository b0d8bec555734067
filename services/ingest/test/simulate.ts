// node services/ingest/test/simulate.ts [--seeds 10000] [--from 0] [--story]
import { runSeeds } from '../../../packages/runtime/test/run-seeds.ts';
import { simulate } from './simulation.ts';

const stillMsMax = { bad: 0, clear: 0 };
await runSeeds({
  async simulate(seed) {
    const verdict = await simulate(seed);
    stillMsMax.bad = Math.max(stillMsMax.bad, verdict.stillMsMax.bad);
    stillMsMax.clear = Math.max(stillMsMax.clear, verdict.stillMsMax.clear);
    return verdict;
  },
  seeds: '10000',
  sums: {
    troubles: ({ troubles }) => troubles,
    rewinds: ({ rewound }) => rewound,
    rebalances: ({ rebalances }) => rebalances,
  },
  last: () =>
    `a partition with records to load stood still for at most ${stillMsMax.bad.toFixed(0)} simulated ms in bad weather, ${stillMsMax.clear.toFixed(0)} from the last crash on in clear\n`,
});
