// Where the app logs, and, apart from it, where vaults and storage say who read and wrote what.
param workspaceName string
param auditWorkspaceName string
param componentName string
param location string
param tags object
param retentionInDays int
param dailyQuotaGb int

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionInDays
    features: { disableLocalAuth: true }
    workspaceCapping: { dailyQuotaGb: dailyQuotaGb }
  }
}

// Without a cap: whoever fills the app's logs, by calling it, must not blind the watch over the vaults as well.
resource auditWorkspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: auditWorkspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: retentionInDays
    // Whoever may read a vault's tables reads that vault's rows, without a role on the workspace.
    features: { disableLocalAuth: true, enableLogAccessUsingOnlyResourcePermissions: true }
    workspaceCapping: { dailyQuotaGb: -1 }
  }
}

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: componentName
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableLocalAuth: true
  }
}

output workspaceId string = workspace.id
output auditWorkspaceId string = auditWorkspace.id
output componentId string = component.id
