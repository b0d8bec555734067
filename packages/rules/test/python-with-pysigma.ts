import { pythonWith } from '../../event/test/python-environment.ts';

/** A Python with pySigma and its SQLite backend. */
export const pythonWithPysigma = (): string =>
  pythonWith('python-sigma', ['pysigma==2.0.1', 'pysigma-backend-sqlite==2.1.1'], ['sigma.backends.sqlite']);
