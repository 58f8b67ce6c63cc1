// The smallest deployment: two new vaults, function keys, public addresses.
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
