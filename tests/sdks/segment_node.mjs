// Sends the sequence of tests/integration/ingest/test_sdks.py with @segment/analytics-node.
import { Analytics } from '@segment/analytics-node'

const [url, writeKey, userId, orders] = process.argv.slice(2)
const failures = []
const analytics = new Analytics({ writeKey, host: url })
analytics.on('error', (error) => failures.push(error))
analytics.identify({ userId, traits: { plan: 'pro', logins: 3 } })
for (let number = 0; number < Number(orders); number++) {
  analytics.track({ userId, event: 'Order Completed', properties: { total: number + 0.5 } })
}
analytics.page({ userId, category: 'shop', name: 'Cart', properties: { path: '/cart' } })
analytics.screen({ userId, category: 'app', name: 'Home' })
analytics.group({ userId, groupId: 'g1', traits: { name: 'Acme' } })
analytics.alias({ userId, previousId: 'before' })
await analytics.closeAndFlush()
console.log(failures)
process.exitCode = failures.length
