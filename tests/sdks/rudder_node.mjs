// Sends the sequence of tests/integration/ingest/test_sdks.py with @rudderstack/rudder-sdk-node.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const [url, writeKey, userId, orders] = process.argv.slice(2)
const failures = []
const analytics = new RudderAnalytics(writeKey, {
  dataPlaneUrl: url,
  logLevel: 'error',
  errorHandler: (error) => failures.push(String(error)),
})
analytics.identify({ userId, traits: { plan: 'pro', logins: 3 } })
for (let number = 0; number < Number(orders); number++) {
  analytics.track({ userId, event: 'Order Completed', properties: { total: number + 0.5 } })
}
analytics.page({ userId, name: 'Cart', properties: { path: '/cart' } })
analytics.screen({ userId, name: 'Home' })
analytics.group({ userId, groupId: 'g1', traits: { name: 'Acme' } })
analytics.alias({ userId, previousId: 'before' })
await analytics.flush()
console.log(failures)
process.exitCode = failures.length
