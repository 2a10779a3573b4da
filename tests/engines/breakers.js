// Plays a script of calls through a breaker of a Node library on a clock that only we move.
// In: {library, answers, spacing, options} as JSON; out: what became of each call.
const { mock } = require('node:test');

async function main() {
  const { library, answers, spacing, options } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1e12 });
  const call = async (succeeds) => {
    if (!succeeds) throw new Error('no');
  };
  const outcomes = [];
  const play = breakers[library](call, options);
  for (const succeeds of answers) {
    try {
      await play(succeeds);
      outcomes.push('ok');
    } catch (error) {
      outcomes.push(error.message === 'no' ? 'failed' : 'rejected');
    }
    mock.timers.tick(spacing);
  }
  console.log(JSON.stringify(outcomes));
  process.exit(0);
}

const breakers = {
  opossum(call, options) {
    const CircuitBreaker = require('opossum');
    const breaker = new CircuitBreaker(call, { timeout: false, ...options });
    return (succeeds) => breaker.fire(succeeds);
  },
  cockatiel(call, options) {
    const { circuitBreaker, handleAll, ConsecutiveBreaker } = require('cockatiel');
    const policy = circuitBreaker(handleAll, {
      halfOpenAfter: options.halfOpenAfter,
      breaker: new ConsecutiveBreaker(options.failures),
    });
    return (succeeds) => policy.execute(() => call(succeeds));
  },
};

main();
