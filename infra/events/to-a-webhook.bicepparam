// A webhook is told of every secret of the vault. Its address and its key are secrets, so they come from the environment.
using '../new-version-events.bicep'

param vaultName = 'contoso-pats'
param webhookUrl = readEnvironmentVariable('RESTART_HOOK_URL', 'https://restart.contoso.com/events')
param webhookKey = readEnvironmentVariable('RESTART_EVENTS_KEY', '')
